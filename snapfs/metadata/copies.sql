-- Copies of objects that hold the repository together, sealed as they lie in the store: repair puts
-- back what the store has lost. Losing them loses nothing that the store has.

CREATE TABLE copy (
  name TEXT PRIMARY KEY,            -- of the object
  hash BLOB NOT NULL,               -- BLAKE3 of data: a disk may forget, too
  data BLOB NOT NULL
) STRICT;

-- Bases whose superseded parts have been dropped from here.
CREATE TABLE tidied (
  until INTEGER PRIMARY KEY         -- as in the replica's table base
) STRICT;
