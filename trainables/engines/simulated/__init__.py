"""Learning curves without learning, to rehearse a study in seconds."""
