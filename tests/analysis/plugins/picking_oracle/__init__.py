"""An engine that knows where the particles are, to judge what evaluates pickers."""
