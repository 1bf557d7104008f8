"""One source's complete snapshots as decisions about them see them: order, time, tags."""

from dataclasses import dataclass

from snapfs.model.identity import Commit


@dataclass(frozen=True, slots=True)
class Taken:
    """A complete snapshot of one source."""

    number: Commit
    "its place in the log, which is the order that nobody can forge"
    time_ns: int
    "when it was taken, as its host said: nanoseconds since 1970"
    tags: tuple[str, ...] = ()
    forgotten: bool = False
    "it is no snapshot any more, but still tells in which order the others came"
