"""A study file in, a study directory out; the only package that builds Ray Tune objects."""
