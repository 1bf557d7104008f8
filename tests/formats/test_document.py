"""docs/format.md, taken at its word: a reader that knows nothing else opens the golden files.

Nothing of snapfs is used here but the keys and values that the golden files were made from;
pyfastcdc is only compared with the document's own rule.
"""

import base64
import hashlib
import json
import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec.msgpack import decode as unpack
from pyfastcdc import FastCDC

from tests.formats import samples

GOLDEN = Path(__file__).parent / "golden"
ZERO = bytes(12)


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


# --- the reader


def repository_id() -> bytes:
    marker = json.loads(golden("marker.json"))
    assert marker["snapfs"] == 1
    return bytes.fromhex(marker["repository"])


def open_slot(slot: dict[str, Any], marker: bytes, secret: str) -> bytes:
    kdf = slot["argon2id"]
    key = Argon2id(
        salt=base64.b64decode(slot["salt"]),
        length=32,
        iterations=kdf["time"],
        lanes=kdf["lanes"],
        memory_cost=kdf["memory"],
    ).derive(unicodedata.normalize("NFC", secret).encode())
    bound = b"snapfs\1slot" + struct.pack(
        ">IIIIQ", slot["slot"], kdf["memory"], kdf["time"], kdf["lanes"], slot["created"]
    )
    for text in (marker, *(slot[name].encode() for name in ("kind", "label", "salt"))):
        bound += struct.pack(">I", len(text)) + text
    return AESGCM(key).decrypt(ZERO, base64.b64decode(slot["master_key"]), bound)


@dataclass
class Object:
    """An opened header: the context, the object keys by purpose, and what stands behind it."""

    context: bytes
    keys: dict[int, bytes]
    header: bytes
    rest: bytes

    def section(self, purpose: int, index: int, sealed: bytes, *, last: bool) -> bytes:
        bound = self.context + b"section" + struct.pack(">BIB", purpose, index, last)
        plain = AESGCM(self.keys[purpose]).decrypt(index.to_bytes(12, "big"), sealed, bound)
        codec, plain_length, packed_length = struct.unpack(">BII", plain[:9])
        packed = plain[9 : 9 + packed_length]
        assert not any(plain[9 + packed_length :])
        found = zstandard.ZstdDecompressor().decompress(packed) if codec == 1 else packed
        assert len(found) == plain_length
        return found

    def only(self, purpose: int) -> Any:
        return unpack(self.section(purpose, 0, self.rest, last=True))


def open_object(data: bytes, kind: int, name: str, epochs: dict[tuple[int, int], bytes]) -> Object:
    assert data[:8] == b"SNAPFS\1" + bytes([kind])
    context = b"snapfs\1" + repository_id() + bytes([kind])
    context += struct.pack(">H", len(name)) + name.encode()
    keys, at = {}, 9
    for _ in range(data[8]):
        purpose, method, epoch, length = struct.unpack(">BBIH", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        at += 8 + length
        if method == 1 and (purpose, epoch) in epochs:
            bound = context + b"wrap" + struct.pack(">BBI", purpose, method, epoch)
            kek = blake3(bound + body[:16], key=epochs[purpose, epoch]).digest()
            keys[purpose] = AESGCM(kek).decrypt(ZERO, body[16:], bound)
    return Object(context, keys, data[:at], data[at:])


def ring() -> tuple[dict[tuple[int, int], bytes], bytes, int]:
    """Epoch keys, block_id and gear_seed, from passphrase to ring."""
    marker = golden("marker.json")
    slot = json.loads(golden("slot_passphrase.json"))
    master = open_slot(slot, marker, samples.PASSPHRASE)
    opened = open_object(golden("ring.bin"), 1, "keys/ring/00000001", {(0, 1): master})
    found = opened.only(0)
    epochs = {(purpose, epoch): key for purpose, epoch, key in found["epochs"]}
    return epochs, found["block_id"], found["gear_seed"]


# --- what it finds


def test_the_recovery_code_opens_its_slot() -> None:
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for letter in samples.CODE.replace("-", ""):
        number = number * 32 + letters.index(letter)
    secret, checksum = (number >> 20).to_bytes(20, "big"), number & 0xFFFFF
    assert int.from_bytes(blake3(b"snapfs code" + secret).digest()[:4], "big") >> 12 == checksum
    slot = json.loads(golden("slot_recovery.json"))
    marker = golden("marker.json")
    assert open_slot(slot, marker, samples.CODE) == samples.MASTER
    with pytest.raises(InvalidTag):
        open_slot({**slot, "label": "another"}, marker, samples.CODE)


def test_the_passphrase_leads_to_the_keys() -> None:
    epochs, block_id, gear_seed = ring()
    assert epochs == {(int(purpose), epoch): key for (purpose, epoch), key in samples.KEYS.items()}
    assert (block_id, gear_seed) == (samples.RING.block_id, samples.RING.gear_seed)


@pytest.mark.parametrize("prefix", ["", "raw_"])
def test_a_pack_gives_its_blocks(prefix: str) -> None:
    epochs, block_id, _ = ring()
    name = f"packs/{samples.PACK[:1].hex()}/{samples.PACK.hex()}"
    data = golden(f"{prefix}pack.bin")
    pack = open_object(data, 4, name, epochs)
    footer_length, count = struct.unpack(">II", data[-8:])
    footer = pack.section(2, count, data[-8 - footer_length : -8], last=True)
    (segments,) = unpack(footer)
    assert len(segments) == count
    at, found = len(pack.header), []
    for index, (stored, keys, lengths) in enumerate(segments):
        plain = pack.section(4, index, data[at : at + stored], last=False)
        at += stored
        for place, length in enumerate(lengths):
            block, plain = plain[:length], plain[length:]
            assert blake3(block, key=block_id).digest() == keys[32 * place : 32 * place + 32]
            found.append(block)
        assert plain == b""
    assert at + footer_length + 8 == len(data)
    assert tuple(found) == samples.TEXT_BLOCKS + samples.NOISE_BLOCKS


def part_name(name: bytes) -> str:
    return f"meta/{name[:1].hex()}/{name.hex()}"


@pytest.mark.parametrize("prefix", ["", "raw_"])
def test_a_block_part_gives_its_rows(prefix: str) -> None:
    name = part_name(samples.BLOCK_PART_NAME)
    packs, moves, suspects = open_object(golden(f"{prefix}blocks.bin"), 3, name, ring()[0]).only(2)
    first, second = packs
    assert first[:2] == [samples.PACK, 5000]
    assert first[3][0] == [200, samples.key("block 0") + samples.key("block 1"), [1200, 1]]
    assert second[3] == []
    assert moves == [[samples.name("old pack"), 3, [0, 2], [1, 4]]]
    assert suspects == [[samples.name("old pack"), 4, [1]]]


def lengths_of(items: list[Any], whole: int) -> list[tuple[object, int]]:
    """Items as (what, length), by the document's rules."""
    if len(items) == 1 and not (isinstance(items[0], int) and items[0] < 0):
        return [(items[0], whole)]
    found, rest = [], iter(items)
    for item in rest:
        hole = isinstance(item, int) and item < 0
        found.append((None, -1 - item) if hole else (item, next(rest)))
    return found


@pytest.mark.parametrize("prefix", ["", "raw_"])
def test_an_entry_part_gives_its_rows(prefix: str) -> None:
    name = part_name(samples.ENTRY_PART_NAME)
    opened = open_object(golden(f"{prefix}entries.bin"), 3, name, ring()[0])
    lists, nodes, directories, users, groups = opened.only(3)
    old = samples.key("an older block")
    assert lengths_of(lists[0][2], lists[0][1]) == [(0, 100), (None, 100), (old, 100)]
    assert lengths_of(lists[1][2], lists[1][1]) == [
        ([0], 300),
        ([samples.key("an older list")], 600),
    ]
    for node in nodes:
        lengths = [length for _, length in lengths_of(node[9], node[5])]
        assert sum(lengths) == (node[5] if lengths else 0)
    assert nodes[1][:9] == [0o100644, 1000, 1000, -1, 999_999_999, 4096, 2, 0, b""]
    assert lengths_of(nodes[1][9], nodes[1][5]) == [(0, 4096)]
    assert lengths_of(nodes[2][9], nodes[2][5]) == [([1], 900)]
    assert lengths_of(nodes[3][9], nodes[3][5]) == [(None, 1 << 40)]
    assert (nodes[5][8], nodes[6][7]) == (b"../etc", 0x0103)
    assert nodes[2][10] == [[b"user.a", b"\0\xff"]]
    assert directories[0] == [b"", False, [], [[b"/", 0]]]
    assert directories[2] == [b"/dev", True, [], [[b"null", 6], [b"old", b"/somewhere/else"]]]
    assert (users, groups) == ({0: b"root", 1000: b"caf\xe9"}, {0: b"wheel"})


@pytest.mark.parametrize("prefix", ["", "raw_"])
def test_a_base_part_of_blocks_gives_its_rows(prefix: str) -> None:
    name = part_name(samples.BLOCK_BASE_NAME)
    opened = open_object(golden(f"{prefix}base_blocks.bin"), 3, name, ring()[0])
    begin, end, packs, segments, blocks, suspects = opened.only(2)
    assert (begin, end) == (2, 9)
    assert packs == [[3, samples.PACK, 5000, samples.draw("a header")(153)]]
    assert segments == [[4, 3, 0, 153, 200, 1201, 2, 2], [6, 3, 1, 353, 4000, 3900, 8, 1]]
    assert blocks == [
        [2, samples.key("block 0"), 4, 0, 1200],
        [8, samples.key("block 2"), 6, 0, 3900],
    ]
    assert suspects == [[8, 17]]


@pytest.mark.parametrize("prefix", ["", "raw_"])
def test_a_base_part_of_entries_gives_its_rows(prefix: str) -> None:
    name = part_name(samples.ENTRY_BASE_NAME)
    opened = open_object(golden(f"{prefix}base_entries.bin"), 3, name, ring()[0])
    begin, end, directories, lists, nodes, entries, users, groups = opened.only(3)
    assert (begin, end) == ([0, b"", 0], [7, b"old", 4])
    assert directories == [[2, 1, b"/"], [7, 2, b"dev"]]
    assert lists == [[5, samples.key("list 0"), 300, [2, 100, -1, 100, -6, 100]]]
    assert nodes[1] == [
        12, 0o100600, 1000, 100, -1, 6, 900, 1, 0, b"", [-7, 300, 8, 600], [[b"user.a", b"\0\xff"]],
    ]  # fmt: skip
    assert nodes[2][9] == b"../etc"
    assert entries[0] == [1, b"/", 3, 2**62, 9, 2]
    assert entries[1:] == [[2, b"a", 3, 5, 12, 0], [2, b"a", 5, 2**62, 13, 0]]
    assert (users, groups) == ({1000: b"caf\xe9"}, {0: b"wheel"})


_PART = [samples.name("part"), 1234, samples.key("part hash"), [5, 6, 7]]
BODIES: dict[str, dict[str, object]] = {
    "base": {"until": 70, "wanted": [3, 41], "blocks": [_PART], "sources": [[1, [_PART]], [2, []]]},
    "full_base": {
        "until": 70,
        "wanted": [3, 41],
        "blocks": [_PART],
        "sources": [[1, []]],
        "given": [1, 2, 5, 7, 2, 3],
        "trees": [[1, "höst", "etc", 41, 7, True]],
    },
    "lost": {
        "new": [1, 2, 5, 7, 2, 3],
        "blocks": [_PART],
        "packs": [samples.PACK],
        "host": "höst",
        "source": "etc",
        "complete": True,
        "time": 1_763_000_000,
        "announced": 99,
        "anew": True,
    },
    "give-up": {"lost": [17, 18], "trees": [["höst", "etc", 41]]},
    "init": {
        "repository": samples.REPOSITORY,
        "ring": "keys/ring/00000001",
        "chunker": ["fastcdc-2020-nc1", 131072, 524288, 2097152],
        "read": ["a"],
        "write": ["b", "c"],
    },
    "upgrade": {"read": ["read-this"], "write": ["write-this"]},
    "tag": {"snapshots": [samples.name("snapshot")], "add": ["keep"], "remove": ["drop", "this"]},
    "forget": {
        "snapshots": [samples.name("snapshot"), samples.name("another")],
        "reason": "retention",
    },
    "recall": {"snapshots": [samples.name("snapshot")], "rescued": [samples.name("rescued")]},
    "delete": {
        "deleting": [samples.name("old pack")],
        "parts": [samples.name("left-over part")],
        "rescued": [samples.name("rescued")],
    },
    "gone": {
        "gone": [samples.name("old pack"), samples.name("other pack")],
        "parts": [samples.name("left-over part")],
    },
}


def record(kind: str, prefix: str) -> dict[str, Any]:
    name = f"log/{samples.NUMBERS[kind]:016x}"
    data = golden(f"{prefix}record_{kind}.bin")
    found: dict[str, Any] = open_object(data, 2, name, ring()[0]).only(1)
    return found


@pytest.mark.parametrize("prefix", ["", "raw_"])
@pytest.mark.parametrize("kind", list(BODIES))
def test_a_record_gives_its_fields(kind: str, prefix: str) -> None:
    head = record(kind, prefix)
    assert head.pop("body") == {"type": kind.removeprefix("full_"), **BODIES[kind]}
    assert head.pop("instead_of", None) == (samples.key("lost record") if kind == "lost" else None)
    assert head == {
        "previous": bytes(32) if kind == "init" else samples.key("previous"),
        "attempt": samples.name("attempt"),
        "host": "höst",
        "time": -5,
        "program": "snapfs 0.1",
    }


@pytest.mark.parametrize("prefix", ["", "raw_"])
def test_an_ingest_gives_its_fields(prefix: str) -> None:
    part = [samples.name("part"), 1234, samples.key("part hash"), [5, 6, 7]]
    next_part = [samples.name("next part"), 99, samples.key("its hash"), [8, 9, 10]]
    assert record("ingest", prefix)["body"] == {
        "type": "ingest",
        "host": "höst",
        "source": "etc",
        "source_head": 41,
        "complete": True,
        "time": 1_763_000_000_000_000_000,
        "new": [1, 2, 5, 7, 2, 3],
        "blocks": [part],
        "entries": [part, next_part],
        "packs": [samples.PACK],
        "rescued": [samples.name("rescued")],
        "paths": [b"/etc", b"/srv/\xff"],
        "tags": ["monthly"],
        "summary": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    }
    assert record("condemn", prefix)["body"] == {
        "type": "condemn",
        "condemned": [samples.name("old pack")],
        "new": [1, 2, 5, 7, 2, 3],
        "blocks": [part],
        "packs": [samples.PACK],
        "parts": [samples.name("left-over part")],
    }
    assert record("mend", prefix)["body"] == {
        "type": "mend",
        "new": [1, 2, 5, 7, 2, 3],
        "blocks": [part],
        "packs": [samples.PACK],
        "parts": [[17, 1, part]],
    }


# --- what is computed


def test_keys_of_blocks_and_lists() -> None:
    _, block_id, _ = ring()
    known = json.loads(golden("keys.json"))
    assert blake3(b"a block", key=block_id).hexdigest() == known["block_key"]
    list_id_key = blake3(block_id, derive_key_context="snapfs list keys 1").digest()
    extents = b"".join(
        key + struct.pack(">QB", length, len(key))
        for key, length in [(samples.key("a"), 1000), (b"", 5), (samples.key("b"), 2**40)]
    )
    assert blake3(extents, key=list_id_key).hexdigest() == known["list_key"]


T = [
    int.from_bytes(hashlib.md5(bytes([b]) * 64, usedforsecurity=False).digest()[:8], "big")
    for b in range(256)
]


def first_block(d: bytes, g: list[int], sizes: tuple[int, int, int], masks: tuple[int, int]) -> int:
    least, average, largest = sizes
    n = len(d)
    if n <= least:
        return n
    n, h = min(n, largest), 0
    for i in range(least, n - n % 2):
        h = (2 * h + g[d[i]]) % 2**64
        if h & masks[i >= average] == 0:
            return i
    return n


def cut_points(
    data: bytes, seed: int, sizes: tuple[int, int, int], masks: tuple[int, int]
) -> list[int]:
    g, at, found = [value ^ seed for value in T], 0, []
    while at < len(data):
        at += first_block(data[at : at + sizes[2]], g, sizes, masks)
        found.append(at)
    return found


def test_contents_are_cut_where_the_document_says() -> None:
    sizes, masks = (1 << 17, 1 << 19, 1 << 21), (0x0000D91747537000, 0x0000D90707537000)
    known = json.loads(golden("keys.json"))["cut_points"]
    data = samples.draw("to be cut")(6 << 20)[: known[1]]
    _, _, seed = ring()
    assert cut_points(data, seed, sizes, masks) == known[:2]
    # Only the lower 48 bits of the seed matter.
    assert cut_points(data, seed % 2**48, sizes, masks) == known[:2]


@pytest.mark.parametrize("length", [0, 1, 64, 65, 255, 257, 999, 5001, 60_000])
def test_small_blocks_are_cut_likewise(length: int) -> None:
    """At sizes that let every branch be taken, odd lengths among them."""
    data = samples.draw("small blocks")(length)
    for average, mask_s, mask_l in [
        (256, 0x0000019000353000, 0x0000000018035100),
        (1024, 0x0000D90003530000, 0x0000019000353000),
    ]:
        cdc = FastCDC(average, min_size=64, max_size=1024, normalized_chunking=1, seed=2**63 - 99)
        expected = [chunk.offset + chunk.length for chunk in cdc.cut_buf(data)]
        sizes = (64, average, 1024)
        assert cut_points(data, 2**63 - 99, sizes, (mask_s, mask_l)) == expected
