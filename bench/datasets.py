"""The data that is worked on, made from what the machine has; the same for all tools.

many    about 100,000 files, 1.3 GB: Python's libraries and /usr/share, in copies that differ
big     1 GB in a few files of mixed content
dump    1 GB of SQL text; then with 1 % of its rows changed in 20 runs and 50,000 rows inserted
image   a sparse 4 GB image of a file system, before and after some writes
million one million small files
"""

import os
import random
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of the real size is made; below 1 for trying the benchmark itself."""

    factor: float

    def count(self, full: int) -> int:
        return max(1, round(full * self.factor))


SETTLED = 65.0
"seconds after which a careful tool trusts the times of what was written"
_AGED = 1_700_000_000
"seconds since 1970: the time of all that was made"


def settle(folder: Path) -> None:
    """Wait until all that was made is old enough to be taken for unchanged by the next run."""
    newest = max((path.stat().st_ctime for path in folder.iterdir()), default=0.0)
    time.sleep(max(0.0, newest + SETTLED - time.time()))


def make(name: str, folder: Path, scale: Scale) -> Path:
    """The data set of this name below `folder`; made if it is not there yet."""
    path = folder / name
    if not path.exists():
        unfinished = folder / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _MAKERS[name](unfinished, scale)
        _age(unfinished)
        unfinished.rename(path)
    return path


def _age(path: Path) -> None:
    """Set all times an hour back: what was just written is read again by any careful tool."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in (*files, ""):
            os.utime(Path(folder, name), (_AGED, _AGED))


def _many(path: Path, scale: Scale) -> None:
    wanted = scale.count(100_000)
    count = copy = 0
    while count < wanted:
        for source in _many_sources():
            if count >= wanted:
                return
            name = source.relative_to("/")
            target = path / str(copy) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            data = source.read_bytes()
            # From the second copy on each file is another: it has a line of its own.
            target.write_bytes(data if copy == 0 else data + f"\n# {copy} {name}\n".encode())
            count += 1
        copy += 1


def _many_sources() -> Iterator[Path]:
    for root in (Path(sysconfig.get_paths()["stdlib"]), Path("/usr/share")):
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(files):
                file = Path(folder, name)
                if not file.is_symlink() and 0 < file.stat().st_size < MEBIBYTE:
                    yield file


def _big(path: Path, scale: Scale) -> None:
    chance = random.Random(1)
    text = _text(chance, 4 * MEBIBYTE)
    for number in range(4):
        with open(path / f"file-{number}", "wb") as file:
            for _ in range(scale.count(64)):
                kind = chance.random()
                if kind < 0.5:
                    at = chance.randrange(len(text) // 2)
                    file.write(text[at : at + 2 * MEBIBYTE])
                    file.write(chance.randbytes(2 * MEBIBYTE))
                elif kind < 0.9:
                    file.write(chance.randbytes(4 * MEBIBYTE))
                else:
                    file.write(bytes(4 * MEBIBYTE))


def _text(chance: random.Random, length: int) -> bytes:
    words = [chance.randbytes(chance.randrange(2, 6)).hex() for _ in range(2000)]
    text = " ".join(chance.choice(words) for _ in range(length // 5))
    return text.encode()[:length]


ROWS = 8_000_000


def _dump(path: Path, scale: Scale) -> None:
    _write_dump(path / "dump.sql", scale.count(ROWS), changed=set(), inserted=0)


def change_dump(path: Path, scale: Scale) -> None:
    """The dump a day later."""
    rows = scale.count(ROWS)
    chance = random.Random(7)
    run = rows // 100 // 20
    changed = {
        row for _ in range(20) for start in [chance.randrange(rows - run)]
        for row in range(start, start + run)
    }  # fmt: skip
    _write_dump(path / "dump.sql", rows, changed=changed, inserted=scale.count(50_000))
    _age(path)


def _write_dump(path: Path, rows: int, *, changed: set[int], inserted: int) -> None:
    chance = random.Random(3)
    with open(path, "w") as file:
        file.write("CREATE TABLE orders (id INTEGER, customer TEXT, total REAL, note TEXT);\n")
        for row in range(rows):
            if row == rows // 50:
                file.writelines(_row(ROWS + new, new * 37, 1) for new in range(inserted))
            file.write(_row(row, chance.getrandbits(40), 2 if row in changed else 1))


def _row(number: int, draw: int, version: int) -> str:
    return (
        f"INSERT INTO orders VALUES ({number},'customer {draw % 99991}',"
        f"{draw % 100_000 / 100 * version},'{draw:x} {draw * version:b}');\n"
    )


def _image(path: Path, scale: Scale) -> None:
    image = path / "disk.img"
    with open(image, "wb") as file:
        file.truncate(scale.count(4096) * MEBIBYTE)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", str(image)], check=True)
    _write_into(image, random.Random(5), scale.count(200))


def change_image(path: Path, scale: Scale) -> None:
    """The image after some writes."""
    _write_into(path / "disk.img", random.Random(6), scale.count(20))
    _age(path)


def _write_into(image: Path, chance: random.Random, runs: int) -> None:
    text = _text(chance, 4 * MEBIBYTE)
    with open(image, "r+b") as file:
        size = image.stat().st_size
        for _ in range(runs):
            file.seek(chance.randrange(size // 4096 - 1024) * 4096)
            file.write(text if chance.random() < 0.5 else chance.randbytes(4 * MEBIBYTE))


def _million(path: Path, scale: Scale) -> None:
    chance = random.Random(9)
    for number in range(scale.count(1_000_000)):
        if number % 200 == 0:
            folder = path / f"{number // 40_000:03d}" / f"{number // 200 % 200:03d}"
            folder.mkdir(parents=True)
        (folder / f"file-{number}").write_bytes(chance.randbytes(chance.randrange(16, 400)))


def change_million(path: Path, scale: Scale, day: int) -> None:
    """One file in a hundred is another one, on this day."""
    chance = random.Random(day)
    for number in chance.sample(range(scale.count(1_000_000)), scale.count(10_000)):
        file = path / f"{number // 40_000:03d}" / f"{number // 200 % 200:03d}" / f"file-{number}"
        file.write_bytes(chance.randbytes(chance.randrange(16, 400)))
        os.utime(file, (_AGED + day, _AGED + day))


_MAKERS: dict[str, Callable[[Path, Scale], None]] = {
    "many": _many,
    "big": _big,
    "dump": _dump,
    "image": _image,
    "million": _million,
}
NAMES = tuple(_MAKERS)
