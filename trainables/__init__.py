"""Model families behind one contract; they know nothing of Ray, trackers or buckets."""
