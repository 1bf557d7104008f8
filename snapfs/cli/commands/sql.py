"""snapfs sql: questions in one's own SQL."""

from collections.abc import Iterator, Sequence
from itertools import chain, count, islice

import click

from snapfs.cli import output, render
from snapfs.cli.asking import asking, sources_of
from snapfs.cli.options import Globals, global_options
from snapfs.metadata.database import Database, Row
from snapfs.metadata.snapshots import Filter
from snapfs.metadata.tree import PAGE
from snapfs.metadata.views import Answer, Views

_LIMIT = 1000


@click.command("sql")
@click.argument("query")
@click.option(
    "--limit", type=click.IntRange(min=0), default=_LIMIT, show_default=True, metavar="N",
    help="Print at most so many rows; 0 for all.",
)  # fmt: skip
@global_options
@click.pass_obj
def command(given: Globals, query: str, limit: int) -> None:
    """Ask the index in SQL: one SELECT from documented views; nothing can be changed.

    The views are sources, snapshots, files (a row for each version of each path), blocks and packs.
    docs/sql.md explains their columns, with examples. --json prints an object for each row; values
    that are bytes are in base64 there, and in hex here; a second column of one name is 'name:2'.
    """
    with (
        asking(given, sources_of(Filter(), blocks=True)) as view,
        Database.open_readonly(view.db.path) as lookups,
    ):
        answer = Views(view.db, lookups).ask(query)
        rows = answer.rows if limit == 0 else islice(answer.rows, limit)
        _print(answer, rows, given)
        if limit and next(answer.rows, None) is not None:
            click.echo(f"there is more than these {limit:,} rows: see --limit", err=True)


def _print(answer: Answer, rows: Iterator[Row], given: Globals) -> None:
    if given.json:
        names = _keys(answer.columns)
        for row in rows:
            output.say_json(dict(zip(names, row, strict=True)))
        return
    first = True
    while (page := list(islice(rows, PAGE))) or first:
        texts = [[_text(value) for value in row] for row in page]
        numbers = [
            column
            for column in range(len(answer.columns))
            if any(isinstance(row[column], int | float) for row in page)
        ]
        for line in render.table(answer.columns, texts, right=numbers, bold=output.on_terminal()):
            output.say(line)
        first = False


def _keys(columns: Sequence[str]) -> list[str]:
    """A key for each column, though columns may have one name: `name`, `name:2`."""
    keys: list[str] = []
    for column in columns:
        names = chain((column,), (f"{column}:{number}" for number in count(2)))
        keys.append(next(name for name in names if name not in keys))
    return keys


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    return render.shown(str(value).encode(errors="surrogateescape"))
