"""Trained models: found, exported, described."""
