"""Models in 8 bits: written, measured beside the float ones, and refused if they lose too much."""
