"""Models in ONNX files: what such a file says of itself, and its use without any framework."""
