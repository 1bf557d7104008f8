"""Names for the numbers and keys that run through the program, so that types keep them apart."""

from typing import NewType

RepositoryId = NewType("RepositoryId", bytes)
"16 random bytes, drawn at init"

BlockKey = NewType("BlockKey", bytes)
"32 bytes: keyed BLAKE3 of a block's plain bytes; the unit of deduplication"

PackName = NewType("PackName", bytes)
"16 random bytes; never used twice"

Attempt = NewType("Attempt", bytes)
"16 random bytes: one try to commit; of an ingest it is also the snapshot's public id"

Commit = NewType("Commit", int)
"number of a log record, from 1; of an ingest it is also the snapshot's serial in the mount"

DirectoryNumber = NewType("DirectoryNumber", int)
"a path of one source, numbered once and for ever"

NodeNumber = NewType("NodeNumber", int)
"one source inode in one state; the inode number of files in the mount"

BlockNumber = NewType("BlockNumber", int)
"one stored copy of a block"

SegmentNumber = NewType("SegmentNumber", int)
"one sealed run of blocks within a pack"

SourceNumber = NewType("SourceNumber", int)
"one (host, name) that is captured"

NO_COMMIT = Commit(0)
OPEN = Commit(2**62)
"`last` of an entry that still holds"
