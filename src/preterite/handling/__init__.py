"""One batch in one transaction: decoded, handed to handlers, and what failed set aside."""
