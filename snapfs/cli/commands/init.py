"""snapfs init: creating a repository."""

import socket

import click
import msgspec

from snapfs.cli import output, settings
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, global_options
from snapfs.cli.passphrase import obtain_new
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError
from snapfs.formats import objects
from snapfs.jobs.init import Created, InitOptions, init
from snapfs.repository.world import World
from snapfs.stores import probe
from snapfs.stores.durable import TEMPORARY
from snapfs.stores.locate import DirectoryLocation, Location, create_place

_KEEP = """\
Recovery code:

    {code}

It opens the repository like the passphrase, and is shown only now. Print it, and keep it apart
from this machine: without passphrase and recovery code nobody can read what is stored."""


_OWN = frozenset({*objects.TOP, probe.PLACE, "lost+found"})
"what an interrupted creation left; and each file system has that"


class CreatedJson(msgspec.Struct):
    """A new repository under --json."""

    repository: str
    url: str
    recovery_code: str


@click.command("init")
@click.option("--label", default="first", show_default=True, help="What the first key is called.")
@click.option(
    "--single-writer",
    is_flag=True,
    help="Accept a store without conditional puts; then one host alone may write to it.",
)
@global_options
@click.pass_obj
def command(given: Globals, label: str, single_writer: bool) -> None:
    """Create a repository.

    A directory is made if it is missing; a bucket must exist. The passphrase is asked for twice,
    unless SNAPFS_PASSPHRASE or SNAPFS_PASSPHRASE_FILE gives it. The recovery code that is printed
    opens the repository as well, and is stored nowhere.
    """
    session = begin(given)
    secret = obtain_new(settings.passphrase(session.machine))
    options = InitOptions(secret, socket.gethostname(), label=label, single_writer=single_writer)
    created = run(lambda: _create(session, options))
    if given.json:
        repository = created.repository.hex()
        output.say_json(CreatedJson(repository, session.location.url, created.recovery_code))
        return
    output.say(f"created repository {created.repository.hex()} at {session.location.url}\n")
    output.say(_KEEP.format(code=created.recovery_code))


def _refuse_foreign(location: Location) -> None:
    """Raise UsageError for a directory that something else is in: it would be among our objects."""
    if not isinstance(location, DirectoryLocation) or not location.path.is_dir():
        return
    names = {path.name for path in location.path.iterdir()}
    foreign = sorted(name for name in names - _OWN if not name.startswith(TEMPORARY))
    if foreign:
        raise UsageError(
            f"{location.path} is not empty: '{foreign[0]}' is in it",
            hint="a repository needs a directory of its own: name another, it is made if missing",
        )


async def _create(session: Session, options: InitOptions) -> Created:
    _refuse_foreign(session.location)
    await create_place(session.location)
    async with session.store() as store:
        return await init(store, options, World())
