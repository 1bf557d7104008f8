"""What is captured: listing, attributes, reading and cutting of files. Straight-line and blocking.

Paths and names are bytes. Nothing here knows of the repository, of its database, or of trio.
"""
