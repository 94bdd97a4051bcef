"""Storage of documents, in a folder or a bucket."""
