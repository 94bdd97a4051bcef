"""What a pixel measures: given, from a table, metadata or a burnt-in bar (`segtune scale`)."""
