"""Check: one pack's bytes against what the log says of it. Pure."""

from dataclasses import dataclass, field

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import objects, packs
from snapfs.formats.packs import PackRow, SegmentRow
from snapfs.formats.seal import ObjectKeys
from snapfs.repository.keys import Keys


@dataclass(slots=True)
class Verdict:
    """What is wrong with a pack, and what is lost by it."""

    faults: list[str] = field(default_factory=list)
    lost_segments: list[int] = field(default_factory=list)
    "indices of segments that do not open"
    lost_blocks: list[tuple[int, int]] = field(default_factory=list)
    "index of the segment, and offset in it, of blocks that do not match their key"
    blocks: int = 0
    "that match their key"


def examine(data: bytes, row: PackRow, keys: Keys) -> Verdict:
    """Read a pack as a reader does: by the header and the places that the log repeats.

    So a damaged header, footer or trailer is a fault by which nothing is lost.
    """
    verdict = Verdict()
    if len(data) != row.size:
        verdict.faults.append(f"has {len(data)} bytes instead of {row.size}")
    if data[: len(row.header)] != row.header:
        verdict.faults.append("its header is damaged")
    try:
        opened = packs.open_keys(row.header, keys.repository, row.name, keys.epochs)
    except (FormatError, NewerFormatError) as error:
        verdict.faults.append(f"the log has no header for it ({error.what})")
        verdict.lost_segments.extend(range(len(row.segments)))
        return verdict
    _examine_segments(data, row, opened, keys, verdict)
    _examine_footer(data, row, opened, verdict)
    return verdict


def _examine_segments(
    data: bytes, row: PackRow, opened: ObjectKeys, keys: Keys, verdict: Verdict
) -> None:
    view, offset = memoryview(data), len(row.header)
    for index, segment in enumerate(row.segments):
        sealed = view[offset : offset + segment.stored]
        offset += segment.stored
        try:
            plain = packs.open_segment(opened, index, sealed)
        except FormatError:
            verdict.lost_segments.append(index)
        else:
            _examine_blocks(plain, index, segment, keys, verdict)
    if verdict.lost_segments:
        count = len(verdict.lost_segments)
        verdict.faults.append(f"{count} of its {len(row.segments)} segments are damaged")
    if verdict.lost_blocks:
        verdict.faults.append(f"{len(verdict.lost_blocks)} blocks do not match their keys")


def _examine_blocks(
    plain: bytes, index: int, segment: SegmentRow, keys: Keys, verdict: Verdict
) -> None:
    view, position = memoryview(plain), 0
    for key, length in zip(segment.block_keys(), segment.lengths, strict=True):
        if packs.block_key(view[position : position + length], keys.block_id) == key:
            verdict.blocks += 1
        else:
            verdict.lost_blocks.append((index, position))
        position += length


def _examine_footer(data: bytes, row: PackRow, opened: ObjectKeys, verdict: Verdict) -> None:
    trailer = data[-packs.TRAILER_LENGTH :]
    try:
        offset, length = packs.footer_span(trailer, len(data))
        footer = data[offset : offset + length]
        rows = packs.open_footer(opened, footer, trailer, offset, len(row.header))
    except (FormatError, NewerFormatError) as error:
        fault = error.what.removeprefix(objects.pack(row.name) + ": ")
        verdict.faults.append(f"its footer is damaged ({fault})")
        return
    if rows != row.segments:
        verdict.faults.append("its footer lists other blocks than the log")
