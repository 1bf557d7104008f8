"""Each exit status, and what is said with it: the thing, and the next step, without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs.formats import objects
from tests.cli.running import Done, Snapfs, damage_pack, eventually
from tests.servers import S3Server, free_ports


def complaint(done: Done) -> list[str]:
    """The lines of standard error, which are few and no traceback."""
    assert done.stdout == b""
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 2, done.stderr
    assert lines[0].startswith("snapfs: ")
    return lines


def test_wrong_passphrase(snapfs: Snapfs) -> None:
    lines = complaint(snapfs("snapshots", status=12, SNAPFS_PASSPHRASE="wrong"))
    assert "passphrase" in lines[0]
    assert "recovery code" in lines[1]


@pytest.mark.parametrize("command", ["snapshots", "ls latest", "ingest /etc", "key list"])
def test_no_repository(bare: Snapfs, command: str) -> None:
    bare.repository.mkdir()
    lines = complaint(bare(*command.split(), status=10))
    assert str(bare.repository) in lines[0]
    assert "snapfs init" in lines[1]


def test_no_directory(bare: Snapfs) -> None:
    assert "disk" in complaint(bare("snapshots", status=10))[1]


def test_init_where_there_is_one(snapfs: Snapfs) -> None:
    assert "already" in complaint(snapfs("init", status=1))[0]


def test_init_among_files(bare: Snapfs) -> None:
    place = bare.repository
    (place / "lost+found").mkdir(parents=True)
    (place / "letters").write_text("mine")
    refused = complaint(bare("init", status=2))
    assert "is not empty: 'letters' is in it" in refused[0]
    assert sorted(path.name for path in place.iterdir()) == ["letters", "lost+found"]
    (place / "letters").unlink()
    (place / "keys").mkdir()  # of a creation that was interrupted
    bare("init")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--time", "1200-01-01"), "no time for a snapshot"),
        (("--time", "9999-01-01"), "no time for a snapshot"),
        (("--time", "2026-02-30"), "not a time"),
        (("--host", ""), "must have 1 to"),
        (("--name", ""), "must have 1 to"),
        (("--host", "by-tag"), "must not be 'by-tag'"),
    ],
)
def test_what_an_ingest_refuses(snapfs: Snapfs, words: tuple[str, ...], said: str) -> None:
    assert said in complaint(snapfs("ingest", snapfs.home, *words, status=2))[0]
    assert snapfs("snapshots", "--json").json == []


def test_the_time_of_a_snapshot_is_the_begin_of_what_was_said(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree, "--time", "2026-11-20T08:00Z")
    (one,) = snapfs("snapshots", "--json").json
    assert one["time"] == "2026-11-20T08:00:00.000000000Z"


def test_a_newer_format(snapfs: Snapfs) -> None:
    marker = snapfs.repository / objects.MARKER
    marker.write_text(marker.read_text().replace('"snapfs":1', '"snapfs":99'))
    assert complaint(snapfs("snapshots", status=1))[1] == "  install a newer snapfs"


def test_another_repository_at_a_known_place(snapfs: Snapfs, tmp_path: Path) -> None:
    snapfs("snapshots")
    snapfs.repository.rename(tmp_path / "elsewhere")
    snapfs("init")
    assert "now it is" in complaint(snapfs("snapshots", status=1))[0]


def test_a_missing_bucket(bare: Snapfs, s3_server: S3Server) -> None:
    bare.environment |= s3_server.environment
    lines = complaint(bare("-r", "s3://nosuch/x", "snapshots", status=11))
    assert "nosuch" in lines[0]
    assert "AWS_ENDPOINT_URL" in lines[1]


def test_a_wrong_endpoint(bare: Snapfs, s3_server: S3Server) -> None:
    wrong = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"}
    bare.environment |= s3_server.environment | wrong | {"SNAPFS_RETRY_SECONDS": "3"}
    lines = complaint(bare("-r", "s3://bucket/x", "snapshots", status=11))
    assert wrong["AWS_ENDPOINT_URL"] in lines[0]


def test_a_store_without_conditional_puts(bare: Snapfs, unconditional_s3_server: S3Server) -> None:
    server = unconditional_s3_server
    bare.environment |= {**server.environment, "SNAPFS_REPOSITORY": f"s3://{server.bucket}/x"}
    assert "--single-writer" in complaint(bare("init", status=11))[1]
    bare("init", "--single-writer")


def test_a_source_that_does_not_exist(snapfs: Snapfs) -> None:
    assert "/nosuch" in snapfs("ingest", "/nosuch", status=1).stderr


def test_a_path_that_is_not_in_the_snapshot(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree)
    (tree / "alias").symlink_to("sub")
    snapfs("ingest", tree)
    assert "/nosuch" in complaint(snapfs("ls", "latest:/nosuch", status=1))[0]
    behind = complaint(snapfs("cat", f"latest:{tree}/alias/b.bin", status=1))
    assert "symbolic link to sub" in behind[1]


def test_snapshots_that_do_not_exist(snapfs: Snapfs, tree: Path) -> None:
    assert "snapfs ingest" in complaint(snapfs("ls", "latest", status=1))[1]
    snapfs("ingest", tree)
    assert "nosuch" in complaint(snapfs("ls", "nosuch", status=1))[0]


def test_damaged_files_are_findings(snapfs: Snapfs, tree: Path, tmp_path: Path) -> None:
    snapfs("ingest", tree)
    damage_pack(snapfs.repository)
    done = snapfs("restore", f"latest:{tree}", "--target", tmp_path / "back", "--json", status=3)
    assert set(done.json["findings"]) == {"damaged"}
    assert '"finding":"damaged"' in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "nosuchcommand",
        "snapshots --nosuch",
        "ls",
        "ingest",
        "ingest --stdin /etc",
        "ingest --stdin --dry-run",
        "ingest --stdin-name x /etc",
        "ingest --stdin --stdin-name a/b",
        "ingest --time never /etc",
        "ingest --exclude-larger-than big /etc",
        "ingest --exclude-from /nosuch /etc",
        "ingest --compression 99 /etc",
        "ingest --name .x /etc",
        "ingest --tag a/b /etc",
        "ls :/etc",
        "restore latest",
        "tag latest x --remove x",
        "-r ftp://x snapshots",
        "-r s3:// snapshots",
        "snapshots --latest 0",
    ],
)
def test_usage(snapfs: Snapfs, words: str) -> None:
    complaint(snapfs(*words.split(), status=2))


def test_a_passphrase_that_nobody_gives(snapfs: Snapfs) -> None:
    lines = complaint(snapfs("snapshots", status=2, SNAPFS_PASSPHRASE=None))
    assert "SNAPFS_PASSPHRASE_FILE" in lines[1]
    complaint(snapfs("snapshots", status=2, SNAPFS_PASSPHRASE=""))
    gone = {"SNAPFS_PASSPHRASE": None, "SNAPFS_PASSPHRASE_FILE": "/nosuch"}
    complaint(snapfs("snapshots", status=2, **gone))


def test_a_bad_retry_time(snapfs: Snapfs) -> None:
    complaint(snapfs("snapshots", status=2, SNAPFS_RETRY_SECONDS="soon"))


def test_two_ingests_of_one_source(snapfs: Snapfs) -> None:
    words = ("ingest", "--stdin", "--name", "one", "--host", "web")
    with snapfs.start(*words) as first:
        locks = snapfs.home / "state"
        eventually(lambda: any(lock.stat().st_size for lock in locks.rglob("source-*.lock")))
        lines = complaint(snapfs(*words, status=1))
        assert f"process {first.pid}" in lines[0]
        first.communicate(b"content")
        assert first.returncode == 0


def test_a_reader_that_leaves_early(snapfs: Snapfs, tree: Path) -> None:
    (tree / "large").write_bytes(os.urandom(4_000_000))
    snapfs("ingest", tree)
    with snapfs.start("cat", f"latest:{tree}/large") as cat:
        assert cat.stdout is not None
        assert cat.stderr is not None
        cat.stdout.read(10)
        cat.stdout.close()
        assert cat.wait(30) == 141
        assert cat.stderr.read() == b""


def test_a_traceback_only_on_request(snapfs: Snapfs) -> None:
    assert "Traceback" in snapfs("ls", "latest", "-v", status=1).stderr


def test_a_fault_of_the_program_is_one_line(snapfs: Snapfs) -> None:
    code = (
        "from snapfs.cli.commands import snapshots; snapshots.newest = None\n"
        "from snapfs.cli.main import main; main(['snapshots'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=snapfs.environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    lines = complaint(Done(1, done.stdout.encode(), done.stderr))
    assert "TypeError" in lines[0]


def test_no_words_print_the_help(bare: Snapfs) -> None:
    assert "Commands:" in bare(status=2).stderr
    assert "restore" in bare("--help").text


def test_the_program_is_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from snapfs.cli.main import main; main(['--version'])"],
        capture_output=True, text=True, check=False, env=Snapfs(tmp_path).environment,
    )  # fmt: skip
    assert done.stdout == "snapfs 0.1.0\n"
