"""Study files to begin with, fitted to a data set and a machine (`segtune init`)."""
