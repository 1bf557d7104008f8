"""Names of hosts and sources: what is allowed, and what a source is called by default."""

from snapfs.errors import UsageError

MAXIMUM = 255
BY_TAG = "by-tag"
"beside the hosts in a mount: where it has snapshots by their tags"


def check_name(kind: str, name: str) -> str:
    """`name` if it can name a host or a source (`kind` says which), else a UsageError.

    Such names are directories of the mount, and names with a leading @ or dot mean something there.
    """
    if not 1 <= len(name.encode(errors="surrogateescape")) <= MAXIMUM:
        raise UsageError(f"{kind} name must have 1 to {MAXIMUM} bytes: {name!r}")
    if kind == "host" and name == BY_TAG:
        raise UsageError(f"host name must not be '{name}': a mount has its tags there")
    if name[0] in ".@":
        raise UsageError(f"{kind} name must not begin with '{name[0]}': {name!r}")
    if any(character == "/" or not character.isprintable() for character in name):
        raise UsageError(
            f"{kind} name must not have '/' or characters that cannot be printed: {name!r}"
        )
    return name


def default_source_name(paths: list[str]) -> str:
    """The name of a source that was given none: its absolute paths, with - for / and + between."""
    words = [path.strip("/").replace("/", "-").lstrip(".@") or "root" for path in sorted(paths)]
    name = "+".join(words)
    if len(name.encode(errors="surrogateescape")) > MAXIMUM or not name.isprintable():
        raise UsageError("these paths give no usable name", hint="name the source with --name")
    return name
