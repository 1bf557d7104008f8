"""This machine's own directories: replica, local database, caches, and what was where."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from blake3 import blake3

from snapfs.errors import FormatError, LocalError, WrongRepositoryError
from snapfs.formats.slots import Recipe, check_recipe
from snapfs.metadata.schema import VERSION
from snapfs.model.identity import RepositoryId

REPLICA = f"replica-{VERSION}.db"
_OF_REPLICA = re.compile(r"replica-(\d+)\.db(?:-wal|-shm)?")


@dataclass(frozen=True, slots=True)
class Directories:
    """Where this machine keeps what it can rebuild."""

    state: Path
    cache: Path


class FileState(msgspec.Struct, frozen=True):
    """A file as it was: one that is written to, or another of its name, is of another state."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Place:
    """What this machine knows of a repository's location."""

    repository: RepositoryId
    slot: str | None
    "the key slot that opened last"
    recipe: Recipe | None = None
    "what its key is derived with, so that this can begin before the store has answered"
    file: FileState | None = None
    "the file whose passphrase opens this slot"

    def opens_with(self, file: FileState | None) -> bool:
        """Whether the passphrase in a file of this state is known to open the slot."""
        return file is not None and file == self.file


class State:
    """The state of one repository on this machine."""

    def __init__(self, directories: Directories, repository: RepositoryId) -> None:
        self.directory = directories.state / repository.hex()
        self.cache = directories.cache / repository.hex()
        with local_errors(self.directory):
            make_private(self.directory)

    @property
    def replica(self) -> Path:
        """The view of the log. Programs with other tables have one of their own beside it."""
        return self.directory / REPLICA

    def older_replicas(self) -> list[Path]:
        """The views of older programs, with the files that belong to them."""
        return [
            path
            for path in self.directory.glob("replica-*.db*")
            if (known := _OF_REPLICA.fullmatch(path.name)) and int(known[1]) < VERSION
        ]

    @property
    def local(self) -> Path:
        return self.directory / "local.db"

    @property
    def copies(self) -> Path:
        return self.directory / "copies.db"


def known_place(directories: Directories, url: str) -> Place | None:
    """What was at this URL when it was last opened."""
    try:
        fields = json.loads(_place_file(directories, url).read_text())
        repository = RepositoryId(bytes.fromhex(fields["repository"]))
        recipe, file = _recipe(fields.get("recipe")), _file(fields.get("file"))
        return Place(repository, fields.get("slot"), recipe, file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # never seen, or not readable: then there is nothing to compare with


def check_place(directories: Directories, url: str, repository: RepositoryId) -> Place | None:
    """Raise WrongRepositoryError where another repository was at this URL before."""
    known = known_place(directories, url)
    if known and known.repository != repository:
        raise WrongRepositoryError(
            f"{url}: here was the repository {known.repository.hex()[:8]}, "
            f"now it is {repository.hex()[:8]}",
            hint=f"if that is meant, remove {_place_file(directories, url)}; if the marker was "
            "damaged, 'snapfs repair' puts it back",
        )
    return known


def remember_place(directories: Directories, url: str, place: Place) -> None:
    """Note what is at this URL."""
    if known_place(directories, url) == place:
        return
    path = _place_file(directories, url)
    with local_errors(path):
        make_private(path.parent)
        temporary = path.with_suffix(f".{os.getpid()}")
        fields = {
            "url": url,
            "repository": place.repository.hex(),
            "slot": place.slot,
            "recipe": msgspec.to_builtins(place.recipe),
            "file": msgspec.to_builtins(place.file),
        }
        try:
            temporary.write_text(json.dumps(fields) + "\n")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remember_file(directories: Directories, url: str, slot: str, file: FileState) -> None:
    """Note that the passphrase in a file of this state opens this slot."""
    known = known_place(directories, url)
    if known is not None and known.slot == slot:
        remember_place(directories, url, replace(known, file=file))


def make_private(directory: Path) -> None:
    """Create a directory and those above it that are missing, for this user alone."""
    for missing in [*reversed(directory.parents), directory]:
        if not missing.is_dir():
            missing.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def local_errors(path: Path) -> Iterator[None]:
    """Turn an OSError about this machine's own directories into a LocalError."""
    try:
        yield
    except OSError as error:
        raise LocalError(
            f"{error.filename or path}: {error.strerror}",
            hint="SNAPFS_STATE_DIR and SNAPFS_CACHE_DIR name other directories",
        ) from error


def _recipe(fields: object) -> Recipe | None:
    try:
        recipe = msgspec.convert(fields, Recipe | None)
        if recipe is not None:
            check_recipe(recipe)
    except (msgspec.ValidationError, FormatError):
        return None
    return recipe


def _file(fields: object) -> FileState | None:
    try:
        return msgspec.convert(fields, FileState | None)
    except msgspec.ValidationError:
        return None


def _place_file(directories: Directories, url: str) -> Path:
    return directories.state / "places" / f"{blake3(url.encode()).hexdigest(8)}.json"
