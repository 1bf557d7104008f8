"""Questions that a glance at the store answers: that none misses anything, and what it spares."""

import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from snapfs.cli import main, passphrase
from snapfs.cli.early import begin_derivation
from snapfs.cli.options import Globals
from snapfs.cli.passphrase import held_and_state
from snapfs.cli.session import begin
from snapfs.cli.settings import InFile
from snapfs.formats.slots import Recipe
from snapfs.repository import glance as glances
from snapfs.repository.ahead import Ahead
from snapfs.repository.glance import BehindError, Glanced, glance
from snapfs.repository.state import (
    Directories,
    FileState,
    Place,
    known_place,
    remember_file,
    remember_place,
)
from snapfs.repository.world import World
from snapfs.stores.bucket import Bucket
from snapfs.stores.files import Files
from tests.cli.running import PASSPHRASE, Snapfs
from tests.servers import S3Server

FILE = FileState(1, 2, 3, 4, 5)
QUESTIONS = {
    "snapshots": (), "ls": ("latest",), "history": ("/a.txt",), "find": ("*.txt",),
    "diff": ("latest", "latest"), "du": ("latest",), "stats": (), "sql": ("SELECT 1",),
}  # fmt: skip
_NEEDLESS = {"trio", "cryptography", "zstandard", "snapfs.metadata.replica"}
"what only those need who derive a key, open objects, or move the view on"


@pytest.fixture
def used(snapfs: Snapfs, tree: Path) -> Snapfs:
    """A machine that has a snapshot, and has asked for it."""
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    snapfs("snapshots")
    return snapfs


def _directories(snapfs: Snapfs) -> Directories:
    return Directories(snapfs.home / "state", snapfs.home / "cache")


def _url(snapfs: Snapfs) -> str:
    return snapfs.repository.as_uri()


def _place(snapfs: Snapfs) -> Place:
    place = known_place(_directories(snapfs), _url(snapfs))
    assert place is not None
    return place


class _Underivable(Ahead):
    def derive_key(self, recipe: Recipe, secret: str) -> bytes:
        raise AssertionError("a key was derived")


@contextmanager
def _glanced(snapfs: Snapfs, ahead: Ahead | None = None) -> Iterator[Glanced | None]:
    ahead = ahead or Ahead(PASSPHRASE, _place(snapfs).recipe)
    found = glance(Files(snapfs.repository), _directories(snapfs), ahead, World())
    try:
        yield found
    finally:
        if found is not None:
            found.db.close()


# --- as the program


def _loaded(snapfs: Snapfs, *words: str, **environment: str | None) -> set[str]:
    """The modules that a command loads."""
    told = snapfs(*words, **environment, PYTHONPROFILEIMPORTTIME="1").stderr
    return {line.rpartition("|")[2].strip() for line in told.splitlines()}


def _loads_a_loop(snapfs: Snapfs, *words: str) -> bool:
    return "trio" in _loaded(snapfs, *words)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_loads_no_event_loop(used: Snapfs, tree: Path, question: str) -> None:
    words = [word if word != "/a.txt" else f"{tree}/a.txt" for word in QUESTIONS[question]]
    assert not _loads_a_loop(used, question, *words)


def test_what_another_machine_has_stored_is_in_the_answers(
    used: Snapfs, tree: Path, tmp_path: Path
) -> None:
    home = tmp_path / "other"
    home.mkdir()
    other = Snapfs(home, {"SNAPFS_REPOSITORY": str(used.repository)})
    (tree / "news.txt").write_text("news\n")
    other("ingest", tree, "--host", "db", "--name", "data")
    assert len(used("snapshots", "--json").json) == 2
    assert not _loads_a_loop(used, "snapshots")
    # Its heads are known by now, and its entries not.
    assert _loads_a_loop(used, "find", "news.txt")
    assert "news.txt" in used("find", "news.txt").text
    assert not _loads_a_loop(used, "find", "news.txt")
    other("forget", "--all", "--host", "db", "--name", "data")
    assert len(used("snapshots", "--json").json) == 1


def test_a_bucket(bare: Snapfs, tree: Path, s3_url: str, s3_env: S3Server) -> None:
    bare.environment |= {"SNAPFS_REPOSITORY": s3_url, **s3_env.environment}
    bare("init")
    bare("ingest", tree, "--host", "web", "--name", "data")
    bare("snapshots")
    assert not _loads_a_loop(bare, "find", "a.txt")
    assert "a.txt" in bare("find", "a.txt").text
    bucket = Bucket(s3_env.bucket, s3_url.rpartition("/")[2])
    last = max(item.name for page in bucket.pages("log/") for item in page)
    bucket.put(f"log/{int(last[4:], 16) + 1:016x}", b"no record")
    assert "damaged" in bare("find", "a.txt", status=3).stderr


def test_a_file_with_the_passphrase_is_believed_while_it_is_as_it_was(used: Snapfs) -> None:
    file = used.home / "passphrase"
    file.write_text(PASSPHRASE)
    kept = {"SNAPFS_PASSPHRASE": None, "SNAPFS_PASSPHRASE_FILE": str(file)}
    used("snapshots", **kept)
    assert _place(used).file is None, "a file that changed a moment ago"
    time.sleep(passphrase._SETTLED_NS / 1e9)
    used("snapshots", **kept)
    assert _place(used).file == held_and_state(InFile(file))[1]
    for question, words in QUESTIONS.items():
        if question != "history":  # of a path that is elsewhere in each test
            loaded = _loaded(used, question, *words, **kept)
            assert "snapfs.repository.glance" in loaded
            assert not loaded & _NEEDLESS, question
    used("snapshots", SNAPFS_PASSPHRASE="wrong", status=12)
    before = file.stat()
    file.write_text("x" + PASSPHRASE[1:])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    used("snapshots", **kept, status=12)


def _hanging(snapfs: Snapfs) -> Path:
    last = _object(snapfs, "last record")
    last.unlink()
    os.mkfifo(last)
    return last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_glance_is_interrupted(used: Snapfs, number: int) -> None:
    _hanging(used)
    with used.start("snapshots", "--json") as running:
        time.sleep(1)  # by then it waits for whoever would write
        running.send_signal(number)
        stdout, stderr = running.communicate(timeout=30)
    assert (running.returncode, stdout) == (130, b""), stderr
    assert json.loads(stderr)["error"] == "interrupted"
    assert stderr.startswith(b"{")


def test_a_file_that_cannot_be_noted_is_no_failure(
    used: Snapfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in used.environment.items():
        monkeypatch.setenv(name, value)
    place = _place(used)
    assert place.slot is not None
    session = begin(Globals(ahead=Ahead(PASSPHRASE, place.recipe, file=FILE)))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        session.remember_file(_url(used), place.slot)
    assert _place(used).file is None
    assert len([*(used.home / "state/places").iterdir()]) == 1
    session.remember_file(_url(used), place.slot)
    assert _place(used).file == FILE


def test_a_state_that_cannot_be_read_leaves_the_rest_of_the_place(used: Snapfs) -> None:
    (path,) = (used.home / "state/places").iterdir()
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "file": {"inode": 1}}))
    place = _place(used)
    assert (place.slot, place.file) == (fields["slot"], None)


def test_what_is_said_of_a_repository_that_is_gone(used: Snapfs) -> None:
    shutil.move(used.repository, used.home / "elsewhere")
    assert "not even a directory" in used("snapshots", status=10).stderr


# --- what a glance sees


def test_it_sees_that_nothing_has_changed(used: Snapfs) -> None:
    with _glanced(used) as found:
        assert found is not None
        assert [one.source.host for one in found.snapshots.stream()] == ["web"]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {"missing": Path.unlink, "flipped": _flip}


def _object(snapfs: Snapfs, what: str) -> Path:
    root = snapfs.repository
    match what:
        case "marker":
            return root / "snapfs.json"
        case "ring":
            return root / "keys/ring/00000001"
        case "slot":
            return root / f"keys/{_place(snapfs).slot}"
    return max((root / "log").iterdir())


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("what", ["marker", "ring", "slot", "last record"])
def test_it_sees_that_something_is_lost(used: Snapfs, what: str, damage: str) -> None:
    DAMAGE[damage](_object(used, what))
    for ahead in (None, _known(used)):
        with _glanced(used, ahead) as found:
            assert found is None


def _known(snapfs: Snapfs) -> Ahead:
    """A passphrase out of a file that is known to open the repository."""
    place = _place(snapfs)
    assert place.slot is not None
    known = Place(place.repository, place.slot, place.recipe, FILE)
    remember_place(_directories(snapfs), _url(snapfs), known)
    return _Underivable("whatever", place.recipe, file=FILE)


@pytest.mark.parametrize("further", [1, 2])
def test_it_sees_records_that_are_new(used: Snapfs, further: int) -> None:
    last = _object(used, "last record")
    (last.parent / f"{int(last.name, 16) + further:016x}").write_bytes(b"new")
    with _glanced(used) as found:
        assert found is None


def test_it_sees_what_a_listing_does_not_have_yet(
    used: Snapfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "pages", lambda *_, **__: iter(()))
    with _glanced(used) as found:
        assert found is not None
    last = _object(used, "last record")
    (last.parent / f"{int(last.name, 16) + 1:016x}").write_bytes(b"new")
    with _glanced(used) as found:
        assert found is None


def test_it_sees_a_passphrase_that_opens_nothing(used: Snapfs) -> None:
    with _glanced(used, Ahead("wrong", _place(used).recipe)) as found:
        assert found is None
    with _glanced(used, Ahead("wrong", _place(used).recipe, file=FILE)) as found:
        assert found is None


def test_it_derives_no_key_where_the_file_is_known(used: Snapfs) -> None:
    with _glanced(used, _known(used)) as found:
        assert found is not None
    with pytest.raises(AssertionError, match="was derived"), _glanced(
        used, _Underivable(PASSPHRASE, _place(used).recipe, file=FileState(1, 2, 3, 4, 6))
    ):  # fmt: skip
        pass


def test_a_file_is_known_for_one_key(used: Snapfs) -> None:
    _known(used)
    used("snapshots")
    assert _place(used).file == FILE
    used("key", "add", "--label", "second", SNAPFS_NEW_PASSPHRASE="second")
    used("snapshots", SNAPFS_PASSPHRASE="second")
    assert _place(used).file is None


def test_it_does_not_wait_for_a_disk_that_hangs(
    used: Snapfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glances, "_PATIENCE", 0.05)
    last = _hanging(used)
    with _glanced(used) as found:
        assert found is None
    os.close(os.open(last, os.O_RDWR))  # ends the wait


@pytest.mark.parametrize("name", ["replica-*.db", "copies.db"])
def test_it_needs_what_this_machine_knows(used: Snapfs, name: str) -> None:
    (database,) = (used.home / "state").glob(f"*/{name}")
    database.unlink()
    with _glanced(used) as found:
        assert found is None
    database.write_bytes(b"no database" * 1000)
    with _glanced(used) as found:
        assert found is None


@pytest.mark.parametrize(("name", "value"), [("repository", "00" * 16), ("read", '["unheard-of"]')])
def test_it_leaves_a_view_alone_that_is_not_to_be_read(used: Snapfs, name: str, value: str) -> None:
    (path,) = (used.home / "state").glob("*/replica-*.db")
    with closing(apsw.Connection(str(path))) as db:
        db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))
    with _glanced(used) as found:
        assert found is None


async def test_a_view_that_lacks_parts_is_behind(used: Snapfs) -> None:
    with _glanced(used) as found:
        assert found is not None
        (source,) = found.snapshots.sources()
        await found.look()
        await found.look([source.number])
        await found.look(None)
        await found.look([], blocks=False)
        with pytest.raises(BehindError):
            await found.look([source.number + 1], blocks=False)


# --- when the derivation begins


def test_a_file_is_noted_for_the_slot_that_opened_last_alone(used: Snapfs) -> None:
    place = _place(used)
    assert place.slot is not None
    remember_file(_directories(used), _url(used), "another", FILE)
    assert _place(used).file is None
    remember_file(_directories(used), _url(used), place.slot, FILE)
    assert _place(used).file == FILE


def test_a_question_begins_no_derivation_with_a_known_file(
    used: Snapfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = used.home / "passphrase"
    file.write_text(PASSPHRASE)
    monkeypatch.setattr(passphrase, "_SETTLED_NS", 0)
    for name, value in used.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SNAPFS_PASSPHRASE")
    monkeypatch.setenv("SNAPFS_PASSPHRASE_FILE", str(file))
    state = held_and_state(InFile(file))[1]
    assert state is not None

    def begun(*, question: bool) -> bool:
        ahead = begin_derivation(None, [], question=question)
        assert ahead is not None
        assert (ahead.secret, ahead.file) == (PASSPHRASE, state)
        return ahead._thread is not None

    assert begun(question=True), "nothing is known of the file"
    place = _place(used)
    known = Place(place.repository, place.slot, place.recipe, state)
    remember_place(_directories(used), _url(used), known)
    assert not begun(question=True)
    assert begun(question=False)


def test_all_questions_are_known_as_such() -> None:
    commands = Path(passphrase.__file__).parent / "commands"
    asking = {path.stem for path in commands.glob("*.py") if " asking(" in path.read_text()}
    assert asking == main._QUESTIONS == QUESTIONS.keys()
