"""Documents that are generated from the declarations: which component publishes and subscribes to which events."""
