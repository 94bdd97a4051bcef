"""The best of a study confirmed by a race with fresh seeds (`segtune confirm`)."""
