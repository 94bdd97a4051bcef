"""A best configuration trained again, to full length (`segtune retrain`)."""
