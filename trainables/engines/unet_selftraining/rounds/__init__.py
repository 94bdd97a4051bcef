"""Rounds of self-training, each taught by the best weights so far through pseudo-labels."""
