"""The journal on PostgreSQL: many replicas, one log."""

from gateway.journal.postgres.journal import PostgresJournal

__all__ = ["PostgresJournal"]
