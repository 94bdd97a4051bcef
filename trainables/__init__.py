"""Engines, data sets and metrics; nothing here knows Ray, trackers or buckets."""
