"""The machine that worlds run on: a scheduler, its clock, databases and a log, and what they can do wrong."""
