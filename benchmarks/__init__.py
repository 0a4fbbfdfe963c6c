"""Measurements: the same work with Preterite and by hand, side by side in one run."""
