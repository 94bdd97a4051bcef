"""A network's map of probabilities, and the picks found in it."""
