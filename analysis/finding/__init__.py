"""Instances of pictures of any size: windows, scales, passes, models and rules, each found once."""
