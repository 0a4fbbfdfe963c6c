"""Checks of Python code: what modules contain, and what they import from one another."""
