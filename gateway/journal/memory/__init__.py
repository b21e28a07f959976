"""The journal in memory, for tests and simulations."""

from gateway.journal.memory.journal import MemoryJournal

__all__ = ["MemoryJournal"]
