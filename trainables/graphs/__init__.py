"""Networks written as ONNX files: what the engines that can do it share."""
