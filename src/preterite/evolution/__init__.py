"""Evolution of contracts: the published shapes of every event, and which changes are compatible."""
