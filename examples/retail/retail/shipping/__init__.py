"""Shipping is the authority for where things go, and when they went."""
