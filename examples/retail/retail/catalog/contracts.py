"""The events of Catalog: none. Pages ask it for a product's name by identifier."""
