"""Data sets where a study names them: in a folder, or in a bucket with a copy on each machine."""
