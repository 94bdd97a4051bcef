"""Batches split over the processes of a training, or into parts that take turns."""
