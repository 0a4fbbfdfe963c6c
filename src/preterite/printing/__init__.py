"""What leaves the process as text, on a terminal or in a log: foreign text, URLs, log messages."""
