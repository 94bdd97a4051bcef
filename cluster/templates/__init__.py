"""Cluster files made from a few values: for Ray on Google Cloud, for KubeRay, and the image."""
