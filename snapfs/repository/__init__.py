"""The repository: the only room that joins stores and metadata."""
