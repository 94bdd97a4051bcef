"""Quantities of single particles: shapes from their masks, intensities, neighbours."""
