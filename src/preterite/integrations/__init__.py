"""Integrations with other frameworks; one file for each, imported only where it is used."""
