"""Many pictures through a model and the measuring, by Ray Data: in any order, each once."""
