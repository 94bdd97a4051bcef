"""Pictures that a verb is asked for: files, folders and patterns."""
