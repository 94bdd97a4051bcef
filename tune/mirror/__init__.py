"""A study's mirror: its journal, its files and its checkpoints in a bucket, while it runs."""
