"""Particles of any number of micrographs with a trained model (`segtune pick`)."""
