"""What every page shares: templates, words, pictures."""
