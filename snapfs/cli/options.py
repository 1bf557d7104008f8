"""Options that several commands have. The global ones are understood before and after a command."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from snapfs.repository.ahead import Ahead

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class Globals:
    """What was given for the whole run, wherever it stood on the command line."""

    repository: str | None = None
    json: bool = False
    verbosity: int = 0
    ahead: "Ahead | None" = None
    "the passphrase that was there before the command was loaded, and the key derived from it"
    incomplete: bool = False
    "something is lost, and what builds on it could not be shown"

    @property
    def log_level(self) -> int:
        """What of the log is shown on standard error."""
        return (logging.WARNING, logging.INFO, logging.DEBUG)[min(self.verbosity, 2)]


def global_options(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command, or the group, take --repository, --json and -v."""
    for option in (
        click.option(
            "--repository", "-r", metavar="URL", expose_value=False, callback=_set_repository,
            help="Where the repository is: /path, file:///path or s3://bucket/prefix.",
        ),
        click.option(
            "--json", is_flag=True, expose_value=False, callback=_set_json,
            help="Print results as JSON, and nothing else, on standard output.",
        ),
        click.option(
            "--verbose", "-v", count=True, expose_value=False, callback=_add_verbosity,
            help="Log to standard error; twice for more.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def choosing_source(command: Callable[P, R]) -> Callable[P, R]:
    """--host and --name: whose snapshots are meant."""
    command = click.option("--name", metavar="NAME", help="Only the source of this name.")(command)
    return click.option("--host", metavar="HOST", help="Only sources of this host.")(command)


def _set_repository(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Globals).repository = value


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(Globals).json |= value


def _add_verbosity(context: click.Context, _: click.Parameter, value: int) -> None:
    context.ensure_object(Globals).verbosity += value
