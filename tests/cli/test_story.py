"""The whole story on one machine, and the same on a real S3 server."""

import subprocess
from pathlib import Path

from tests.cli.running import PASSPHRASE, Snapfs, eventually


def test_from_init_to_restore(bare: Snapfs, tree: Path, tmp_path: Path) -> None:
    created = bare("init").text
    assert "Recovery code" in created

    first = bare("ingest", tree, "--name", "data", "--host", "web", "--tag", "before", "--json")
    (tree / "a.txt").write_text("second\n")
    (tree / "sub" / "b.bin").unlink()
    (tree / "new").write_text("new\n")
    second = bare("ingest", tree, "--name", "data", "--host", "web", "--json")

    files = second.json["files"]
    assert (files["new"], files["changed"], files["removed"]) == (1, 1, 1)
    listed = bare("snapshots", "--json").json
    ids = [first.json["snapshot"], second.json["snapshot"]]
    assert [item["id"] for item in listed] == ids
    assert bare("cat", f"latest:{tree}/a.txt").stdout == b"second\n"
    assert bare("cat", f"{ids[0][:6]}:{tree}/a.txt").stdout == b"first\n"
    assert bare("cat", f"{ids[0]}:{tree}/sub/b.bin").stdout == bytes(range(256)) * 2000

    bare("restore", f"latest:{tree}", "--target", tmp_path / "back")
    subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "back"], check=True)


def test_an_unchanged_source_is_not_read_again(snapfs: Snapfs, tree: Path) -> None:
    # A time of the last minute could still be written to without being moved.
    for path in [tree / "a.txt", tree / "sub" / "b.bin"]:
        subprocess.run(["touch", "-d", "2020-01-01", path], check=True)
    snapfs("ingest", tree)
    again = snapfs("ingest", tree, "--json").json
    assert again["files"]["unchanged"] == 3
    assert again["bytes"]["new"] == 0
    forced = snapfs("ingest", tree, "--force", "--json").json
    assert forced["bytes"]["read"] == 512_006
    assert forced["bytes"]["new"] == 0


def test_s3(bare: Snapfs, tree: Path, tmp_path: Path, s3_url: str, s3_server: object) -> None:
    bare.environment |= {"SNAPFS_REPOSITORY": s3_url, **s3_server.environment}  # type: ignore[attr-defined]
    assert bare("init", "--json").json["url"] == s3_url
    stored = bare("ingest", tree, "--json").json
    assert stored["bytes"]["new"] == 512_006

    other = Snapfs(tmp_path / "other", dict(bare.environment, SNAPFS_STATE_DIR="other-state"))
    other.home.mkdir()
    assert other("snapshots", "--json").json[0]["id"] == stored["snapshot"]
    assert other("cat", f"latest:{tree}/sub/b.bin").stdout == bytes(range(256)) * 2000
    (tmp_path / "mnt").mkdir()
    other("mount", tmp_path / "mnt")
    try:
        (source,) = (tmp_path / "mnt").glob("*/*/latest")
        shown = f"{source}{tree}"
        subprocess.run(["diff", "-r", "--no-dereference", tree, shown], check=True)
        cache = bare.home / "cache"
        eventually(lambda: any(path.is_file() for path in cache.rglob("*")))  # it is far away
    finally:
        other("umount", tmp_path / "mnt")
    assert bare("init", status=1).stderr.startswith(f"snapfs: {s3_url}: there is a repository")


def test_tags(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree, "--tag", "one")
    assert snapfs("tag", "latest", "two", "--remove", "one", "--json").json["tags"] == ["two"]
    assert "two" in snapfs("snapshots", "--tag", "two").text
    assert snapfs("snapshots", "--tag", "one", "--json").json == []
    assert snapfs("tag", "latest", status=2).stderr.startswith("snapfs: no tag was named")
    assert "both" not in snapfs("tag", "latest", "x", "--remove", "x", status=2).text


def test_only_the_newest_of_each_source(snapfs: Snapfs, tree: Path) -> None:
    for name in ("one", "two", "one"):
        snapfs("ingest", tree, "--name", name)
    listed = snapfs("snapshots", "--latest", "1", "--json").json
    assert [item["source"] for item in listed] == ["two", "one"]
    assert len(snapfs("snapshots", "--name", "one", "--json").json) == 2


def test_a_key_is_added_used_and_removed(snapfs: Snapfs) -> None:
    added = snapfs("key", "add", "--label", "bob", "--json", SNAPFS_NEW_PASSPHRASE="of bob").json
    listed = snapfs("key", "list", "--json", SNAPFS_PASSPHRASE="of bob").json
    assert [key["label"] for key in listed if key["current"]] == ["bob"]
    assert added["id"] in {key["id"] for key in listed}

    of_bob = {"SNAPFS_PASSPHRASE": "of bob"}
    refused = snapfs("key", "remove", added["id"][:6], status=2, **of_bob).stderr
    assert "is the key that you use now" in refused
    told = snapfs("key", "remove", added["id"][:6]).text
    assert "still open" in told
    assert "no recovery code" not in told
    snapfs("key", "list", status=12, SNAPFS_PASSPHRASE="of bob")


def test_the_key_in_use_and_the_last_code_go_only_when_meant(snapfs: Snapfs) -> None:
    code, own = sorted(snapfs("key", "list", "--json").json, key=lambda key: key["current"])
    assert "there is no recovery code" in snapfs("key", "remove", code["id"]).text
    snapfs("key", "add", SNAPFS_NEW_PASSPHRASE="another")
    snapfs("key", "remove", own["id"], status=2)
    snapfs("key", "remove", own["id"], "--even-current")
    snapfs("key", "list", status=12)


def test_a_changed_passphrase_replaces_the_old_one(snapfs: Snapfs) -> None:
    snapfs("key", "passwd", SNAPFS_NEW_PASSPHRASE="another")
    snapfs("key", "list", status=12)
    snapfs("key", "list", SNAPFS_PASSPHRASE="another")


def test_a_recovery_code_opens(snapfs: Snapfs) -> None:
    code = snapfs("key", "add", "--recovery", "--json").json["recovery_code"]
    snapfs("key", "list", SNAPFS_PASSPHRASE=code)


def test_passphrases_come_from_files_and_credentials(snapfs: Snapfs, tmp_path: Path) -> None:
    secret = tmp_path / "snapfs-passphrase"
    secret.write_text(PASSPHRASE + "\n")
    snapfs("key", "list", SNAPFS_PASSPHRASE=None, SNAPFS_PASSPHRASE_FILE=str(secret))
    snapfs("key", "list", SNAPFS_PASSPHRASE=None, CREDENTIALS_DIRECTORY=str(tmp_path))


def test_standard_input_becomes_a_file(snapfs: Snapfs) -> None:
    snapfs("ingest", "--stdin", "--stdin-name", "dump.sql", stdin=b"CREATE TABLE")
    assert snapfs("cat", "latest:/dump.sql").stdout == b"CREATE TABLE"


def test_what_is_excluded_stays_out(snapfs: Snapfs, tree: Path, tmp_path: Path) -> None:
    (tree / "x.tmp").touch()
    (tree / "keep.tmp").touch()
    (tmp_path / "patterns").write_text("*.tmp\n")
    (tmp_path / "roots").write_bytes(bytes(tree) + b"\0")
    snapfs(
        "ingest", "--files-from", tmp_path / "roots", "--exclude-from", tmp_path / "patterns",
        "--exclude", "!keep.tmp", "--exclude-larger-than", "100K",
    )  # fmt: skip
    listed = snapfs("ls", "-R", f"latest:{tree}", "--json").json_lines
    names = {Path(entry["path"]).name for entry in listed}
    assert names == {"a.txt", "keep.tmp", "link", "sub"}


def test_the_repository_does_not_store_itself(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", snapfs.home, "--name", "home")
    listed = snapfs("ls", f"latest:{snapfs.home}", "--json").json_lines
    assert {Path(entry["path"]).name for entry in listed} == {"tree"}


def test_a_dry_run_stores_nothing(snapfs: Snapfs, tree: Path) -> None:
    before = sorted(snapfs.repository.rglob("*"))
    told = snapfs("ingest", tree, "--dry-run", "--json").json
    assert told["files"]["new"] == 3
    assert told["snapshot"] is None
    assert sorted(snapfs.repository.rglob("*")) == before


def test_a_time_of_ones_own(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree, "--time", "2020-02-03T04:05:06Z")
    (snapshot,) = snapfs("snapshots", "--json").json
    assert snapshot["time"] == "2020-02-03T04:05:06.000000000Z"
    snapfs("ls", "2020-02-03T04:06")
    snapfs("ls", "2020-02-03T04:04", status=1)
