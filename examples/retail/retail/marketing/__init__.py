"""Marketing is the authority for what is popular, and for what else people bought."""
