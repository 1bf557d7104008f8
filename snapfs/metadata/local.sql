-- What this machine alone knows. Losing it costs one full read of the sources and uploads nothing.

-- Ingests that ran here. What one confirmed counts once its attempt is in the log.
CREATE TABLE run (
  number  INTEGER PRIMARY KEY,
  attempt BLOB NOT NULL,
  record  INTEGER                   -- that its commit became; null: not known to have been committed
) STRICT;

-- The state in which a path was last read or seen to be as the replica has it.
CREATE TABLE confirmed (
  directory INTEGER NOT NULL,       -- hash of source and directory: see local.py
  name      BLOB NOT NULL,
  size      INTEGER NOT NULL,
  mtime     INTEGER NOT NULL,       -- nanoseconds since 1970
  ctime     INTEGER NOT NULL,
  inode     INTEGER NOT NULL,
  run       INTEGER NOT NULL,
  PRIMARY KEY (directory, name)
) STRICT, WITHOUT ROWID;
