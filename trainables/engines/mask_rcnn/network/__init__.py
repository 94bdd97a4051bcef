"""The network that is built, the weights it starts from, and how two networks are fused."""
