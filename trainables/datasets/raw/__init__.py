"""Raw annotations read: a folder, its format, its pictures with their objects."""
