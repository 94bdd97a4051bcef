"""The page of a measurement: its figures, its particles by size, its pictures, what was flagged."""
