"""A year of real purchases, replayed: the customers and the calendar, which stand outside the components."""
