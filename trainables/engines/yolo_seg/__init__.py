"""Instance segmentation with Ultralytics' YOLO -seg models."""
