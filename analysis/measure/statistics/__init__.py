"""Figures of many particles: distributions, border correction, intervals, uncertainty."""
