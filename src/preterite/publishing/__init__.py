"""The way out: a unit of work, the transaction that it ends, and the relay to the log."""
