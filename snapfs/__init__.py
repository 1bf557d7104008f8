"""snapfs: the history of files in object storage, mounted as a file system."""

__version__ = "0.1.0"
