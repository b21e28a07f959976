"""The conformance suite: what a journal is. Every engine passes all of it; differences are named capabilities."""
