"""The events of Marketing: none."""
