"""The largest sizes that any object of a repository may claim. Whatever exceeds one is damaged.

They bound what a store that lies can make a reader allocate; writers stay far below them.
"""

MEBIBYTE = 1024 * 1024

RECORD = 8 * MEBIBYTE
"plain bytes of a record's head"
PART = 32 * MEBIBYTE
"plain bytes of a part"
SEGMENT = 4 * MEBIBYTE
"plain bytes of a segment"
FOOTER = 16 * MEBIBYTE
"plain bytes of a pack's footer"
PACK = 64 * MEBIBYTE
"stored bytes of a pack"
SMALL = 64 * 1024
"bytes of the marker, a key slot or the ring"
KEY_SLOTS = 32
"slots that are tried; each costs the time and memory of one key derivation"
WINDOW = 8 * MEBIBYTE
"largest zstd window"
SECTION_OVERHEAD = 9 + 16
"codec, two lengths and the tag"


def stored_bound(plain: int) -> int:
    """The most that `plain` bytes may take when sealed: Padmé adds at most an eighth."""
    return plain + plain // 8 + 4096
