"""A process that serves a mount, as the command would: for tests of signals and of the background.

python -m tests.mount.server <objects> <state> <mountpoint> [fail|crash]
"""

import sys
from pathlib import Path

import trio

from snapfs.errors import SnapfsError, WrongPassphraseError
from snapfs.mount import daemon
from snapfs.mount.daemon import Handover
from snapfs.mount.options import MountOptions
from snapfs.mount.serve import serve
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.build import Builder, built, file

SECRET = "pässword with 'quotes'"


async def write_repository(objects: Path) -> None:
    """A repository with one file, in a directory."""
    store = ThreadedStore(Files.create(objects))
    async with built(store, objects.parent / "writer") as repository:
        await Builder(repository).commit({"/file": file(b"content")})


async def main(objects: str, state: str, mountpoint: str, handover: Handover | None) -> None:
    async with built(ThreadedStore(Files(Path(objects))), Path(state)) as repository:
        await repository.catch_up_all()
        if handover and handover.secret != SECRET.encode():
            raise WrongPassphraseError("wrong passphrase", hint="think")
        await serve(
            repository,
            Path(mountpoint),
            MountOptions(),
            ready=handover.ready if handover else lambda: print("ready", flush=True),
        )


if __name__ == "__main__":
    inherited = daemon.inherited()
    print("serving, and this is the last line")
    sys.stdout.flush()
    if sys.argv[4:] == ["crash"]:
        sys.exit(7)
    try:
        trio.run(main, *sys.argv[1:4], inherited)
    except SnapfsError as error:
        if inherited:
            inherited.failed(error)
        sys.exit(error.exit_status)
