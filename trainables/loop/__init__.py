"""Parts of a training loop of ours: schedule, optimizer, averaged weights, patience."""
