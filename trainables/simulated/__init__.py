"""An engine that trains nothing: it rehearses a study in seconds."""
