"""Instance segmentation with Detectron2's Mask R-CNN."""
