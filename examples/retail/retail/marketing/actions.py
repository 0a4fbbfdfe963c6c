"""The actions of Marketing: none; it only consumes events."""
