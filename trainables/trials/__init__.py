"""Trials outside the tuner, and how a trial's best model is kept."""
