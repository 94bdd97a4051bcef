"""A script that goes along with an exported model, to train with Detectron2 alone."""
