"""Checks whether this machine can run a study, and says what to do if not."""
