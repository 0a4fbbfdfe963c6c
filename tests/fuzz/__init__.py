"""Hostile input from seeds: the shop's routes, what reads and writes messages, and the readers of the command line."""
