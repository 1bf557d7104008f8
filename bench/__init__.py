"""Measuring snapfs beside its peers: `make bench`, or `python -m bench --help`."""
