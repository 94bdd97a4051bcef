"""From raw annotations to a prepared data set."""
