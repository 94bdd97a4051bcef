"""Batches split over the processes or devices of a training, or into parts that take turns."""
