"""Catalog is the authority for what a product is called and where it belongs."""
