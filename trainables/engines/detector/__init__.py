"""Detection with torchvision's models: boxes, without masks."""
