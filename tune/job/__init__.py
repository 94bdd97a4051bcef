"""A job's own side, on a cluster: the nodes are checked, then a study or a measurement runs."""
