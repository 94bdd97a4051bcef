"""Sizes and shapes of the particles of any number of pictures, as tables (`segtune measure`)."""
