"""Runs a study: Ray Tune executes, the controller decides, the journal remembers."""
