"""The log in one PostgreSQL database."""
