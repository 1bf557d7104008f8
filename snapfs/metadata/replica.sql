-- The replica: a materialised view of the commit log. `apply` is the only writer, so that every
-- machine has the same rows with the same numbers, and an empty one is filled again by a replay.
--
-- Three streams of rows arrive apart, each with a position of its own: heads (table log), blocks
-- (cursor 0) and the entries of one source (cursor = its number). Rows that a record has added
-- before its stream's position has reached it are there already and mean nothing yet: intervals
-- and numbers above the position are not looked at.

-- What is true of the whole database.
CREATE TABLE fact (
  name  TEXT PRIMARY KEY,           -- 'repository': its id in hex · 'read', 'write': features that
                                    -- the log's level needs, as JSON lists · 'chunker': as JSON
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The next number of each kind: blocks, segments, packs, nodes, lists, directories, sources.
-- Numbers are taken by heads in the order of the log, and none is ever given twice.
CREATE TABLE counter (
  name TEXT PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The heads of all records.
CREATE TABLE log (
  number      INTEGER PRIMARY KEY,  -- from 1, without gaps
  hash        BLOB NOT NULL,        -- BLAKE3 of the stored object; the next record repeats it
  attempt     BLOB NOT NULL,        -- tells a writer whether it was its record that won
  head        BLOB NOT NULL,        -- the whole head as it was sealed: names the parts
  source      INTEGER,              -- of an ingest; null where it was given up or passed over
  -- The numbers that the record's first rows have; positions in its parts count from these.
  blocks      INTEGER NOT NULL,
  segments    INTEGER NOT NULL,
  packs       INTEGER NOT NULL,
  nodes       INTEGER NOT NULL,
  lists       INTEGER NOT NULL,
  directories INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_attempt ON log (attempt);
CREATE INDEX log_source ON log (source, number) WHERE source IS NOT NULL;

-- Records that were lost and others stand in for, and the record that says what is given up with
-- them. Until there is one, records that do not fit may be of what was lost: they are passed over.
CREATE TABLE lost (
  record INTEGER PRIMARY KEY,
  closed INTEGER
) STRICT;

-- Block parts that were lost, and what takes their place: an object that says the very same.
CREATE TABLE mended (
  record INTEGER NOT NULL,          -- whose part is lost
  piece  INTEGER NOT NULL,          -- its index among the record's block parts
  part   BLOB NOT NULL,             -- the part reference that counts, as msgpack
  PRIMARY KEY (record, piece)
) STRICT, WITHOUT ROWID;

-- How far a stream has been applied: all records below `record`, and of that one `piece` parts.
CREATE TABLE cursor (
  stream INTEGER PRIMARY KEY,       -- 0: blocks; else the number of the source whose entries these are
  record INTEGER NOT NULL,
  piece  INTEGER NOT NULL
) STRICT;

-- The bases: streams that have not come as far as `until` begin with the newest one.
CREATE TABLE base (
  record INTEGER PRIMARY KEY,
  until  INTEGER NOT NULL           -- what it restates is the state as of this record
) STRICT;

-- Streams that are being filled from a base. Their cursors move when that is done; what is there
-- already stays true meanwhile. They are listed until they have passed the base itself.
CREATE TABLE loading (
  stream INTEGER PRIMARY KEY,
  base   INTEGER NOT NULL,          -- its record
  piece  INTEGER NOT NULL,          -- of its parts of this stream, so many are applied
  stale  INTEGER NOT NULL           -- 1: the stream had rows before, which the base may lack
) STRICT;

-- Forgotten snapshots whose trees a base has left out: nothing brings them back.
CREATE TABLE lapsed (
  snapshot INTEGER PRIMARY KEY
) STRICT;

-- What is captured under one name by one host.
CREATE TABLE source (
  number INTEGER PRIMARY KEY,       -- from 1
  host   TEXT NOT NULL,
  name   TEXT NOT NULL,
  head   INTEGER NOT NULL,          -- its last commit: what the next delta must name
  anchor INTEGER NOT NULL,          -- directory whose one entry '/' is the root of its tree; a new
                                    -- one when all its snapshots are forgotten: it begins anew
  UNIQUE (host, name)
) STRICT;

-- Commits of ingests. The tree of snapshot n is the entries with first <= n < last.
CREATE TABLE snapshot (
  number    INTEGER PRIMARY KEY,    -- of its record; also its serial in the mount
  source    INTEGER NOT NULL,
  anchor    INTEGER NOT NULL,       -- of its source at that time
  id        BLOB NOT NULL,          -- its public id: the attempt of its record
  time      INTEGER NOT NULL,       -- nanoseconds since 1970, by the host's clock or --time
  complete  INTEGER NOT NULL,       -- 0: progress of an ingest; never shown as a snapshot
  forgotten INTEGER                 -- the record that forgot it; null: it is wanted
) STRICT;
CREATE UNIQUE INDEX snapshot_id ON snapshot (id);
CREATE INDEX snapshot_source ON snapshot (source, number);

CREATE TABLE tag (
  snapshot INTEGER NOT NULL,
  name     TEXT NOT NULL,
  PRIMARY KEY (snapshot, name)
) STRICT, WITHOUT ROWID;

-- A directory is its path in its source: numbered once, used again when it returns.
CREATE TABLE directory (
  number INTEGER PRIMARY KEY,
  parent INTEGER NOT NULL,          -- 0: this one is a source's anchor
  name   BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX directory_name ON directory (parent, name) WHERE parent <> 0;

-- The history of names. A name's versions do not overlap.
CREATE TABLE entry (
  directory INTEGER NOT NULL,
  name      BLOB NOT NULL,
  first     INTEGER NOT NULL,       -- the commit that brought it
  last      INTEGER NOT NULL,       -- the commit that ended it; 2^62 while it holds
  node      INTEGER NOT NULL,
  child     INTEGER,                -- the directory that it is, else null
  -- Of its node, so that searches over all names read no node:
  size      INTEGER NOT NULL,
  file      INTEGER NOT NULL,       -- 0: no regular file · 1: one · 2: one with several names
  mtime     INTEGER NOT NULL,       -- without the nanoseconds
  uid       INTEGER NOT NULL,
  PRIMARY KEY (directory, name, first)
) STRICT, WITHOUT ROWID;

-- The directories in which a commit changed entries: what leads from two snapshots to what differs
-- between them, at a thousandth of the size of an index over the ends of all intervals. Each says
-- what its own entries became more by, so that sums of trees read no entry: those that begin at the
-- commit, less those that end there, of the entries that there are.
CREATE TABLE touched (
  directory INTEGER NOT NULL,
  record    INTEGER NOT NULL,
  entries   INTEGER NOT NULL,
  size      INTEGER NOT NULL,       -- bytes of regular files, at each of their names
  linked    INTEGER NOT NULL,       -- of these, of files with several names
  PRIMARY KEY (directory, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX touched_record ON touched (record);

-- One source inode in one state; its number is the inode number in the mount. Never changed.
CREATE TABLE node (
  number   INTEGER PRIMARY KEY,     -- from 2: 1 is the mount's root
  mode     INTEGER NOT NULL,        -- type and permissions, as st_mode
  uid      INTEGER NOT NULL,
  gid      INTEGER NOT NULL,
  mtime    INTEGER NOT NULL,        -- whole seconds since 1970
  mtime_ns INTEGER NOT NULL,        -- nanoseconds above it: in one integer they would end in 2262
  size     INTEGER NOT NULL,
  nlink    INTEGER NOT NULL,        -- names that it has in its snapshot
  rdev     INTEGER NOT NULL,
  data     BLOB,                    -- content of a file (see contents.py), target of a link
  xattrs   BLOB                     -- msgpack list of (name, value); null for none
) STRICT;

-- Lists of extents, shared by the contents of versions of a huge file. They come with the entries of
-- a source, so only what is of the same source can refer to one; the newest of a key is meant.
CREATE TABLE list (
  number INTEGER PRIMARY KEY,
  source INTEGER NOT NULL,
  key    BLOB NOT NULL,             -- keyed hash of what it lists
  length INTEGER NOT NULL,          -- plain bytes
  items  BLOB NOT NULL              -- as node.data
) STRICT;
CREATE INDEX list_key ON list (source, key);

-- One stored copy of a block. Two hosts that stored the same block have made two.
CREATE TABLE block (
  number  INTEGER PRIMARY KEY,
  tag     INTEGER NOT NULL,         -- first 8 bytes of the key: a third of the index that the key needs
  key     BLOB NOT NULL,            -- 32 bytes
  segment INTEGER NOT NULL,
  offset  INTEGER NOT NULL,         -- in the segment's plain bytes
  length  INTEGER NOT NULL
) STRICT;
CREATE INDEX block_tag ON block (tag);

-- Blocks that were found damaged, and since when: no delta relies on them until they have been
-- stored again and moved there. Rows stay, because a delta of that time may be applied later.
CREATE TABLE suspect (
  block INTEGER NOT NULL,
  first INTEGER NOT NULL,           -- the record that said so
  last  INTEGER NOT NULL,           -- the record that moved it; 2^62 while it is damaged
  PRIMARY KEY (block, first)
) STRICT, WITHOUT ROWID;

CREATE INDEX suspect_open ON suspect (block) WHERE last = 4611686018427387904;

CREATE TABLE segment (
  number INTEGER PRIMARY KEY,
  pack   INTEGER NOT NULL,
  place  INTEGER NOT NULL,          -- its index in the pack
  offset INTEGER NOT NULL,          -- of its sealed bytes in the pack
  stored INTEGER NOT NULL,          -- sealed bytes
  plain  INTEGER NOT NULL,
  block  INTEGER NOT NULL,          -- number of the first block that was stored in it
  blocks INTEGER NOT NULL           -- blocks that were stored in it
) STRICT;
CREATE INDEX segment_block ON segment (block);
CREATE INDEX segment_pack ON segment (pack, place);

CREATE TABLE pack (
  number INTEGER PRIMARY KEY,
  name   BLOB NOT NULL UNIQUE,
  size   INTEGER NOT NULL,
  header BLOB NOT NULL              -- its sealed keys, so that one request reads a segment
) STRICT;

-- Packs on their way out, and parts that no record names; what is not here is in use.
CREATE TABLE fate (
  name   BLOB PRIMARY KEY,          -- of a pack or part: 16 random bytes either way
  state  INTEGER NOT NULL,          -- 1 condemned · 2 deleting · 3 gone
  record INTEGER NOT NULL           -- that condemned it; from 2 on the one that said 2
) STRICT, WITHOUT ROWID;

-- Names of users and groups as the source's host knew them.
CREATE TABLE owner (
  source INTEGER NOT NULL,
  kind   INTEGER NOT NULL,          -- 0 user · 1 group
  number INTEGER NOT NULL,
  name   BLOB NOT NULL,
  PRIMARY KEY (source, kind, number)
) STRICT, WITHOUT ROWID;
