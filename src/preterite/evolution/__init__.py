"""Contracts that may grow: the published shape of every event, what of it may change, and what must not."""
