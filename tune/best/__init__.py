"""The best configurations known, and what a study or a training takes from them."""
