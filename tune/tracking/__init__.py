"""Trackers, which keep a record of each trial elsewhere: Weights & Biases."""
