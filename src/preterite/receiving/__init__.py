"""Reading: streams of the log, what is parked, what is due, and history."""
