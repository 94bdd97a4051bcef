"""The network that is built: by name, with its norms, anchors and the weights it starts from."""
