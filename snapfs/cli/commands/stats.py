"""snapfs stats: how large the repository is, what each snapshot alone holds, and what grew."""

from collections.abc import Sequence

import click
import msgspec

from snapfs.cli import output, render
from snapfs.cli.asking import View, asking, moments_of, sources_of
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.errors import UsageError
from snapfs.metadata.alone import Alone, held_alone
from snapfs.metadata.growth import gained
from snapfs.metadata.moments import Moment, Moments
from snapfs.metadata.snapshots import Filter, Snapshots
from snapfs.metadata.usage import Totals, UsageQuestions
from snapfs.model.growth import Growth, most_grown, with_below
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import Source, by_id, choose

_EACH = ("ID", "TIME", "HOST", "NAME", "SIZE", "ALONE", "STORED")
_GROWTH = ("GROWTH", "PATH")
_NOTHING = Alone(0, 0)


class TotalsJson(msgspec.Struct):
    """The repository under --json. Ratios are null where there is nothing to divide by."""

    sources: int
    snapshots: int
    logical: int
    unique: int
    stored: int
    packs: int
    blocks: int
    compression: float | None
    deduplication: float | None


class EachJson(msgspec.Struct):
    """A snapshot under --json --each."""

    id: str
    time: str
    host: str
    source: str
    size: int
    alone: int
    alone_stored: int


class GrowthJson(msgspec.Struct, omit_defaults=True):
    """A directory under --json --growth."""

    host: str
    source: str
    path: str
    growth: int
    old: str
    new: str
    path_base64: str | None = None


@click.command("stats")
@click.option("--each", is_flag=True, help="What each snapshot alone holds; takes seconds.")
@click.option("--growth", is_flag=True, help="The directories that grew most.")
@click.option("--from", "old", metavar="SNAPSHOT", help="Growth since this one, else the oldest.")
@click.option("--to", "new", metavar="SNAPSHOT", help="Growth until this one, else the newest.")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="How many directories.")  # fmt: skip
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, each: bool, growth: bool, old: str | None, new: str | None, top: int,
    host: str | None, name: str | None,
) -> None:  # fmt: skip
    """Show how large the repository is.

    Logical is what all snapshots hold together, as if each were a copy; unique are the blocks that
    are stored for it, before compression; stored is what the packs take, what waits for a prune
    included. This is told of the whole repository, whatever --host and --name say.

    --each shows for each snapshot what it alone holds: ALONE before compression, STORED about what
    forgetting it lets a prune free. What only the newest of a source holds is freed once there is a
    newer one.

    --growth shows where files became more between two snapshots of one source. A directory is left
    out if nine tenths of its growth is in one below it, which is shown.
    """
    if each and growth:
        raise UsageError("--each and --growth are two questions: ask one at a time")
    if not growth and (old or new):
        raise UsageError("--from and --to say which growth is meant", hint="add --growth")
    if growth:
        with asking(given, sources_of(Filter(host, name))) as view:
            _tell_growth(view, given, (old, new), top)
        return
    with asking(given, sources_of(Filter(), entries=each, blocks=True)) as view:
        if each:
            _tell_each(view, given, Filter(host, name))
        else:
            _tell_totals(UsageQuestions(view.db).totals(), given)


def _tell_totals(totals: Totals, given: Globals) -> None:
    compression = totals.plain / totals.stored if totals.stored else None
    deduplication = totals.logical / totals.plain if totals.plain else None
    if given.json:
        output.say_json(
            TotalsJson(
                sources=totals.sources, snapshots=totals.snapshots, logical=totals.logical,
                unique=totals.plain, stored=totals.stored, packs=totals.packs,
                blocks=totals.blocks, compression=compression, deduplication=deduplication,
            )
        )  # fmt: skip
        return
    counted = (
        f"{render.plural(totals.snapshots, 'snapshot')} of"
        f" {render.plural(totals.sources, 'source')}"
    )
    output.say(f"Logical  {format_size(totals.logical)}  in {counted}")
    output.say(f"Unique   {format_size(totals.plain)}{_ratio(deduplication, 'deduplication')}")
    output.say(f"Stored   {format_size(totals.stored)}{_ratio(compression, 'compression')}")
    output.say(f"In       {totals.packs:,} packs with {totals.blocks:,} blocks")


def _ratio(ratio: float | None, what: str) -> str:
    return "" if ratio is None else f"  {what} 1:{ratio:.2f}"


def _tell_each(view: View[list[Source]], given: Globals, only: Filter) -> None:
    moments = moments_of(view.db, view.found)
    shown = {moment.number for source in view.found for moment in moments.of(source.number)}
    alone = held_alone(view.db, moments)
    rows: list[tuple[str, ...]] = []
    for snapshot in Snapshots(view.db).stream(only):
        if snapshot.number not in shown:
            continue
        held = alone.get(snapshot.number, _NOTHING)
        source, size = snapshot.source, snapshot.counts.bytes_total
        if given.json:
            time = render.exact_time(snapshot.time_ns)
            output.say_json(
                EachJson(
                    snapshot.id.hex(), time, source.host, source.name, size, held.plain, held.stored
                )
            )
        rows.append(
            (
                snapshot.short_id, render.local_time(snapshot.time_ns), source.host, source.name,
                format_size(size), format_size(held.plain), format_size(held.stored),
            )
        )  # fmt: skip
    if not given.json:
        for line in render.table(_EACH, rows, right=(4, 5, 6), bold=output.on_terminal()):
            output.say(line)


def _tell_growth(
    view: View[list[Source]], given: Globals, ends: tuple[str | None, str | None], top: int
) -> None:
    moments = moments_of(view.db, view.found)
    for source in _named(view, ends):
        if not moments.of(source.number):
            continue
        old, new = _ends(view, moments, source, ends)
        sums = with_below(gained(view.db, old, new))
        found = most_grown(sums, top)
        if given.json:
            for growth in found:
                output.say_json(_growth_json(source, growth, old, new))
            continue
        output.say(
            f"{source}: {_signed(sums.get(b'/', 0))} from {render.local_time(old.time_ns)}"
            f" to {render.local_time(new.time_ns)}"
        )
        rows = [(_signed(growth.bytes), render.shown(growth.path)) for growth in found]
        for line in render.table(_GROWTH, rows, right=(0,), bold=output.on_terminal()):
            output.say(line)


def _named(view: View[list[Source]], ends: tuple[str | None, str | None]) -> Sequence[Source]:
    """The sources that are asked about: an id is of one of them."""
    for text in ends:
        if text is not None and (snapshot := by_id(Snapshots(view.db).stream(), text)):
            return [source for source in view.found if source == snapshot.source]
    return view.found


def _ends(
    view: View[list[Source]], moments: Moments, source: Source,
    ends: tuple[str | None, str | None],
) -> tuple[Moment, Moment]:  # fmt: skip
    """The two snapshots of a source that are meant. Raises SnapshotNotFoundError, UsageError."""
    line = moments.of(source.number)
    chosen = [line[0] if ends[0] is None else None, line[-1] if ends[1] is None else None]
    if any(end is None for end in chosen):
        shown = {moment.number for moment in line}
        candidates = [
            snapshot
            for snapshot in Snapshots(view.db).stream(Filter(source.host, source.name))
            if snapshot.number in shown
        ]
        for position, text in enumerate(ends):
            if text is not None:
                chosen[position] = moments.at(choose(candidates, text, view.now_ns).number)
    old, new = chosen
    assert old is not None and new is not None
    if old.anchor != new.anchor:
        raise UsageError(
            f"{source} began anew between these two snapshots", hint="'snapfs diff' compares them"
        )
    return old, new


def _signed(size: int) -> str:
    return f"{'-' if size < 0 else '+'}{format_size(abs(size))}"


def _growth_json(source: Source, growth: Growth, old: Moment, new: Moment) -> GrowthJson:
    return GrowthJson(
        host=source.host,
        source=source.name,
        path=render.readable(growth.path),
        growth=growth.bytes,
        old=old.id.hex(),
        new=new.id.hex(),
        path_base64=render.exact(growth.path),
    )
