"""What may vary: domains, conditions, hyperparameter schemas and presets."""
