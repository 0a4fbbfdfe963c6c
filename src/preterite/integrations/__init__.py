"""Preterite in other people's frameworks; one file for each, imported only by those who use it."""
