"""A third party's engine that ends in awkward ways."""
