"""The study file: its parts, and every check that needs no machine and no data."""
