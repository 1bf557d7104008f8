"""Ingest: what changed in a source becomes blocks, packs, parts, and one record.

    walk → files → blocks → (segments to the writer)
      └──→ delta → (parts)          commit: packs, parts, record, database, in this order

`job` runs it; the walk is straight-line code in one thread, which waits where the event loop
behind it has enough to do.
"""
