"""What users write for a place, and what they get."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.errors import UsageError
from snapfs.stores.locate import (
    DirectoryLocation,
    Location,
    S3Location,
    create_place,
    open_store,
    parse_url,
    verbs_at,
)
from snapfs.stores.retrying import Retrying

DEFAULT = Path("/default/place")


@pytest.mark.parametrize(
    ("text", "location"),
    [
        (None, DirectoryLocation(DEFAULT)),
        ("", DirectoryLocation(DEFAULT)),
        ("/srv/backup", DirectoryLocation(Path("/srv/backup"))),
        ("relative/path", DirectoryLocation(Path("relative/path"))),
        ("./s3:b", DirectoryLocation(Path("s3:b"))),
        ("/srv/a:b", DirectoryLocation(Path("/srv/a:b"))),
        ("file:///srv/with%20space", DirectoryLocation(Path("/srv/with space"))),
        ("file://localhost/srv", DirectoryLocation(Path("/srv"))),
        ("s3://bucket", S3Location("bucket")),
        ("s3://bucket/", S3Location("bucket")),
        ("S3://bucket/a/b/", S3Location("bucket", "a/b")),
    ],
)
def test_forms(text: str | None, location: Location) -> None:
    assert parse_url(text, DEFAULT) == location


@pytest.mark.parametrize(
    "text",
    [
        "sftp://host/path",
        "https://s3.example/bucket",
        "s3:https://s3.example/bucket",
        "s3:bucket",
        "s3://",
        "s3:///prefix",
        "file:relative",
        "file://other-host/path",
        "file://",
        "host:/path",
        "rclone:remote:path",
    ],
)
def test_what_is_no_place_lists_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(text, DEFAULT)
    assert text in caught.value.what
    assert "s3://bucket/prefix" in caught.value.hint


@given(st.text())
def test_any_text_is_a_place_or_a_usage_error(text: str) -> None:
    try:
        location = parse_url(text, DEFAULT)
    except UsageError:
        return
    assert location.url


async def test_a_place_is_made_and_opened(tmp_path: Path) -> None:
    location = parse_url(f"file://{tmp_path}/new/place", DEFAULT)
    await create_place(location)
    store = open_store(verbs_at(location))
    assert isinstance(store, Retrying)
    assert store.url == location.store_url
    await store.put("a", b"x")
    assert (tmp_path / "new/place/a").read_bytes() == b"x"
    await store.aclose()


async def test_a_bucket_is_opened(s3_url: str) -> None:
    location = parse_url(s3_url, DEFAULT)
    await create_place(location)
    store = open_store(verbs_at(location))
    assert store.url == location.url == location.store_url == s3_url
    await store.put("a", b"x")
    assert await store.get("a") == b"x"
    await store.aclose()


def test_opening_stores_does_not_pay_for_boto3() -> None:
    code = "import sys, snapfs.stores.locate; print({'boto3', 'botocore'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
