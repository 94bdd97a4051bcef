"""An engine that knows the truth, to judge what evaluates models."""
