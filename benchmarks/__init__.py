"""Measurements: the same work with Preterite and in hand-written SQL, side by side in one run."""
