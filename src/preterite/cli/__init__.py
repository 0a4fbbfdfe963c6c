"""The command line: `preterite COMMAND …`, one file per command.

Results go to stdout, progress and errors to stderr. Nothing is imported here: a worker needs no command.
"""
