"""Parts of a training loop that engines share: schedule, optimizer, averaged weights, patience."""
