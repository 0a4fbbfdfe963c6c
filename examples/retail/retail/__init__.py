"""A shop in five components that share nothing but events: an ordinary customer of Preterite."""
