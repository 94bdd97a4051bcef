"""Presets, which are search spaces by name: one module an engine."""
