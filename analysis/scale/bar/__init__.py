"""The scale bar that is drawn into a picture: found, and its length read."""
