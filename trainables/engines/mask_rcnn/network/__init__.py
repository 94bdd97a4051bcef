"""The network that is built, and the weights it starts from."""
