"""Ray jobs, storage and placement; knows no models."""
