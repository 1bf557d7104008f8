"""SQLite: the replica of the log, and what belongs to this machine alone. All SQL is here."""
