"""Self-training U-Net: particle picking from a few coordinates."""
