"""Writes the golden files that are missing: `python -m tests.formats.make_golden`.

They are written once, when a format is new. What they hold must be read for ever, so a file that is
there is never written again: a change that no longer reads it is a change that loses backups.
"""

import json
from pathlib import Path

from snapfs.formats import marker, slots
from tests.formats import samples

GOLDEN = Path(__file__).parent / "golden"


def golden_files() -> dict[str, bytes]:
    """The bytes of all golden files as this program would write them today."""
    files = {f"{name}.bin": sealed.data for name, sealed in samples.sealed_objects().items()}
    with samples.uncompressed():
        for name, sealed in samples.sealed_objects().items():
            files[f"raw_{name}.bin"] = sealed.data
    files["marker.json"] = marker.encode(samples.REPOSITORY)
    for kind in slots.SlotKind:
        files[f"slot_{kind}.json"] = samples.encode_slot(kind)
    files["keys.json"] = json.dumps(samples.derived(), indent=2).encode() + b"\n"
    return files


def main() -> None:
    """Write what is missing, and say so; what is there stays."""
    GOLDEN.mkdir(exist_ok=True)
    for name, data in golden_files().items():
        try:
            with (GOLDEN / name).open("xb") as file:
                file.write(data)
            print("written:", name)
        except FileExistsError:
            print("kept:   ", name)


if __name__ == "__main__":
    main()
