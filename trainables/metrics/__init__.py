"""How well a model does: one vocabulary and one evaluator for all engines."""
