"""Pictures that a user names: by files, folders and patterns, page by page."""
