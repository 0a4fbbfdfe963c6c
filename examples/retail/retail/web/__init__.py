"""The web shop: pages composed from parts of all components, by identifiers. It owns no business data."""
