"""What people do in Marketing: nothing yet; it only listens."""
