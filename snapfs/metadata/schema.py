"""Which tables the replica has. Alone, because to find its file nothing of SQLite is needed."""

SCHEMA = "replica.sql"
"a file of this package"
VERSION = 5
"another one for other tables: each version has a file of its own"
