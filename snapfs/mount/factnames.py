"""Extended attributes by which a mount tells what the repository knows of a file.

They are read by name and never listed, so that no copy carries them along.
"""

PREFIX = "user.snapfs."
NAMES = {
    "first": "the first snapshot with this version, as its directory is called",
    "last": "the last snapshot with this version",
    "versions": "versions that the file has in the snapshots",
    "content": "equal for equal contents in this repository",
    "blocks": "blocks of its content",
    "stored": "bytes that these take in the store, before padding; shared ones count in full",
    "packs": "names of the packs that hold them",
}
NUMBERS = frozenset({"versions", "blocks", "stored"})
"those whose values are numbers"
