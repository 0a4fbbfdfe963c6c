"""A component's database on PostgreSQL."""
