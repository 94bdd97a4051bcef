"""Search spaces: domains, conditions, hyperparameter schemas and presets."""
