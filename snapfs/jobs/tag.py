"""Changing the tags of a snapshot."""

from collections.abc import Sequence

from snapfs.errors import UsageError
from snapfs.formats.records import Tag
from snapfs.model.identity import Attempt
from snapfs.model.snapshot import Snapshot
from snapfs.repository.repository import Repository

LONGEST = 100
"characters of a tag"


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, each once, if they can be tags. UsageError otherwise.

    Tags name directories in the mount and lists on the command line: no slash, no comma.
    """
    for tag in tags:
        sound = 1 <= len(tag) <= LONGEST and tag.isprintable() and tag[0] not in ".@"
        if not sound or set(tag) & set("/,"):
            raise UsageError(f"not a tag: {tag!r}", hint="a tag has no '/', ',' or leading '.'")
    return tuple(dict.fromkeys(tags))


async def tag(
    repository: Repository, snapshots: Sequence[Snapshot], add: Sequence[str],
    remove: Sequence[str], host: str,
) -> None:  # fmt: skip
    """Add and remove tags. Raises UsageError, LogCutError, StoreError."""
    body = Tag(tuple(snapshot.id for snapshot in snapshots), check_tags(add), check_tags(remove))
    await repository.publish(Attempt(repository.world.random(16)), lambda: body, host)
