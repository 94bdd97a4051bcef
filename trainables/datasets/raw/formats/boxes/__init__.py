"""Readers of formats that have boxes and no outlines."""
