"""A model that picks particles, measured: by the places of its picks, not by outlines."""
