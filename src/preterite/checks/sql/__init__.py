"""Checks of SQL: which tables statements read and write, and which components own them."""
