"""A prepared data set as an engine wants it."""
