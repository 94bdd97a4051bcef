"""Jobs: work sent to a Ray cluster, and looked after from another machine."""
