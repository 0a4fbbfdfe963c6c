"""What all databases of components share: their statements, by subject."""
