"""snapfs export, as a program between others."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import Snapfs, damage_pack
from tests.jobs.exporting import extract
from tests.manifest import Manifest, manifest_of_tree

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


@pytest.fixture
def rich(tree: Path) -> Path:
    """A tree with what a tar of long ago could not hold."""
    os.link(tree / "a.txt", tree / "sub" / "second name")
    os.mkfifo(tree / "fifo")
    (tree / os.fsdecode(b"\xff" + b"long" * 50)).write_text("x")
    os.setxattr(tree / "a.txt", "user.color", b"\0red")
    subprocess.run(["setfacl", "-m", "u:1234:r,d:g:77:rx", tree / "sub"], check=True)
    os.chown(tree / "sub" / "b.bin", 1000, 70_000)
    os.utime(tree / "sub" / "b.bin", ns=(1, 999_999_999))
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(9_000_000)
    return tree


def manifest(tree: Path) -> Manifest:
    from dataclasses import replace

    return {path: replace(item, holes=()) for path, item in manifest_of_tree(tree).items()}


@as_root
def test_to_a_file_and_to_a_pipe(snapfs: Snapfs, rich: Path, tmp_path: Path) -> None:
    snapfs("ingest", rich)
    told = snapfs("export", f"latest:{rich}", "-o", "x.tar.zst", "--json").json
    archive = tmp_path / "x.tar.zst"
    assert (told["files"], told["hard_links"], told["findings"]) == (4, 1, {})
    assert told["written"] == archive.stat().st_size < told["bytes"]
    extract(archive, tmp_path / "one")
    assert manifest(tmp_path / "one") == manifest(rich)
    (tmp_path / "y").write_bytes(snapfs("export", f"latest:{rich}").stdout)
    extract(tmp_path / "y", tmp_path / "two")
    assert manifest(tmp_path / "two") == manifest(rich)
    assert b"exported" in snapfs("export", "latest", "-o", "odd name", "--format", "tar.gz").stdout
    assert (tmp_path / "odd name").read_bytes()[:2] == b"\x1f\x8b"


def test_it_is_not_for_a_terminal(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree)
    for words in (("export", "latest"), ("export", "latest", "-o", "-")):
        done = snapfs.at_terminal(*words)
        assert done.status == 2
        assert b"terminal" in done.stdout


def test_names_without_a_format(snapfs: Snapfs, tmp_path: Path) -> None:
    assert "--format" in snapfs("export", "latest", "-o", "x.zip", status=2).stderr
    assert not (tmp_path / "x.zip").exists()


def test_a_reader_that_leaves_early(snapfs: Snapfs, tree: Path) -> None:
    (tree / "large").write_bytes(os.urandom(6_000_000))
    snapfs("ingest", tree)
    for words in (("export", "latest"), ("export", "latest", "--format", "tar.zst")):
        with snapfs.start(*words) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            running.stdout.read(10)
            running.stdout.close()
            assert running.wait(30) == 141
            assert running.stderr.read() == b""


def test_damage_leaves_nothing_that_passes_for_whole(
    snapfs: Snapfs, tree: Path, tmp_path: Path
) -> None:
    snapfs("ingest", tree)
    damage_pack(snapfs.repository)
    done = snapfs("export", f"latest:{tree}", "-o", "x.tar", status=1)
    assert done.stderr.startswith(f"snapfs: {tree}/")
    assert len(done.stderr.splitlines()) == 2
    assert list(tmp_path.glob("*x.tar*")) == []
    cut = snapfs("export", f"latest:{tree}", "--format", "tar.zst", status=1)
    assert subprocess.run(["zstd", "-tq"], input=cut.stdout, check=False).returncode != 0


def test_a_socket_is_a_finding(snapfs: Snapfs, tree: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tree / "socket"))
    snapfs("ingest", tree)
    done = snapfs("export", "latest", status=3)
    assert done.stderr.startswith(f"refused: {tree}/socket")
