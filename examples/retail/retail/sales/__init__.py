"""Sales is the authority for what was purchased, and for who may purchase."""
