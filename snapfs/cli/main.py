"""Where `snapfs` starts: the list of commands, each loaded when it is called, and the exit status.

Nothing heavy is imported here: `snapfs --version` takes as long as Python and click take.
"""

import os
import resource
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from snapfs import __version__
from snapfs.cli import ending
from snapfs.cli.memory import collect_rarely, end_quickly
from snapfs.cli.options import Globals, global_options
from snapfs.errors import SnapfsError

COMMANDS = {
    "init": "Create a repository.",
    "ingest": "Store the state of files and directories as a snapshot.",
    "snapshots": "List the snapshots.",
    "mount": "Mount all snapshots as a read-only file system.",
    "umount": "End a mount.",
    "info": "Show what the repository knows of a file in a mount.",
    "restore": "Write files of a snapshot back to a directory.",
    "export": "Write files of a snapshot as a tar archive.",
    "ls": "List what a snapshot holds.",
    "cat": "Write a file of a snapshot to standard output.",
    "history": "Show every version of a path.",
    "find": "Look for files in all snapshots.",
    "diff": "Show what differs between two snapshots.",
    "du": "Show how much the directories of a snapshot hold.",
    "stats": "Show how large the repository is, and what grew.",
    "sql": "Ask the index in SQL.",
    "tag": "Change the tags of a snapshot.",
    "forget": "Forget snapshots by rules or by name, and bring them back.",
    "prune": "Give back the space of what nothing needs.",
    "key": "List, add, remove and change what opens the repository.",
    "check": "Check that everything is there and whole.",
    "repair": "Put right what a check finds; nothing is deleted.",
}
_WITHOUT_KEY = frozenset({"init", "umount", "info"})
"nothing to unlock"
_QUESTIONS = frozenset({"snapshots", "ls", "history", "find", "diff", "du", "stats", "sql"})
"this machine's view answers them: see `asking`"
_EVERYONE_BUT_THE_OWNER = 0o077
_SWITCH_SECONDS = 0.001


class Commands(click.Group):
    """The commands by name. Listing them imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"snapfs.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Loading the command takes as long as deriving the key: the two are done side by side.
        if args[0] in COMMANDS and args[0] not in _WITHOUT_KEY:
            from snapfs.cli.early import begin_derivation

            given = ctx.ensure_object(Globals)
            given.ahead = begin_derivation(
                given.repository, args[1:], question=args[0] in _QUESTIONS
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands)
@global_options
@click.version_option(__version__, message="snapfs %(version)s")
def snapfs() -> None:
    """The history of your files in object storage, encrypted, and mounted as a file system.

    The repository is --repository, else $SNAPFS_REPOSITORY, else a directory of yours. 'snapfs
    COMMAND --help' tells more about each command.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its status. See `ending` for what each status means."""
    collect_rarely()
    # A thread that waits for the disk comes back to one that computes: five milliseconds, which it
    # would have to wait otherwise, are fifty small files.
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.umask(_EVERYONE_BUT_THE_OWNER)
    # Keys are in memory. (PR_SET_DUMPABLE would close /proc/self/fd, too, which restore needs.)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    given = Globals()
    sys.excepthook = ending.excepthook(given)
    status = _run(list(sys.argv[1:] if arguments is None else arguments), given)
    end_quickly()
    sys.exit(status)


def _run(arguments: list[str], given: Globals) -> int:
    try:
        status = snapfs.main(arguments, prog_name="snapfs", obj=given, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        return ending.refused(error, given)
    except SnapfsError as error:
        return ending.failed(error, given)
    except click.Abort:
        return ending.interrupted(given)
    except (BrokenPipeError, ending.UnreadError):
        return ending.unread()
    except BaseExceptionGroup as group:
        return ending.grouped(group, given)
    done = status if isinstance(status, int) else 0
    return ending.WITH_FINDINGS if given.incomplete and not done else done


if __name__ == "__main__":
    main()
