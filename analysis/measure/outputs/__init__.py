"""Files about the particles of one picture: label images, outlines, regions, overlays."""
