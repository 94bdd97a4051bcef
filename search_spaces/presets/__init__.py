"""One preset file an engine."""
