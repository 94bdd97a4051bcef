"""Quality of a model: one vocabulary and one evaluator for all engines."""
