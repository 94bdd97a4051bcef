"""Pictures with truth and finds drawn: what became of each find and of each object."""
