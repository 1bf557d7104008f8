"""The file system: the repository's snapshots as directories that any program can read."""
