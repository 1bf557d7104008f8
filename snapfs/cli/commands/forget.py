"""snapfs forget: letting snapshots go, by rules or by name, and bringing them back."""

import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import click
import msgspec

from snapfs.cli import output, render
from snapfs.cli.keeping import Rules, keeping
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.selecting import chosen_sources
from snapfs.cli.session import Session, begin
from snapfs.errors import SnapshotNotFoundError, UsageError
from snapfs.jobs.forget import (
    Decide,
    ForgetReport,
    Verdict,
    by_policy,
    chosen,
    forget,
    what_goes,
    whole_source,
)
from snapfs.jobs.recall import RecallReport, last_forgotten, recall
from snapfs.metadata.freed import Freed
from snapfs.metadata.snapshots import Filter
from snapfs.model.identity import Attempt
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import Snapshot, choose
from snapfs.repository.repository import Repository

log = logging.getLogger(__name__)

_TITLES = ("", "ID", "TIME", "HOST", "NAME", "WHY")
_STEPPED_BACK = "one before it has a later time"


class VerdictJson(msgspec.Struct):
    """What becomes of a snapshot, under --json."""

    id: str
    time: str
    host: str
    source: str
    kept: bool
    reasons: tuple[str, ...]
    future: bool
    stepped_back: bool


class FreedJson(msgspec.Struct):
    """What a prune can give back then, under --json."""

    plain: int
    stored: int


class ForgetJson(msgspec.Struct):
    """What was forgotten, or would be, under --json."""

    dry_run: bool
    record: int | None
    forgotten: int
    snapshots: list[VerdictJson]
    bytes: FreedJson | None
    "only of a rehearsal"


class RecallJson(msgspec.Struct):
    """What was brought back, or would be, under --json."""

    dry_run: bool
    record: int | None
    recalled: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for, besides rules."""

    named: tuple[str, ...]
    everything: bool
    even_newest: bool
    undo: bool
    dry_run: bool
    only: Filter


@click.command("forget")
@click.argument("snapshots", nargs=-1, metavar="[SNAPSHOT]...")
@keeping
@click.option("--all", "everything", is_flag=True, help="Forget all of the source HOST, NAME.")
@click.option("--even-newest", is_flag=True, help="SNAPSHOT may be the newest of its source.")
@click.option("--undo", is_flag=True, help="Bring SNAPSHOT back, or what was forgotten last.")
@click.option("--dry-run", "-n", is_flag=True, help="Only tell what would be done, and why.")
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, /, snapshots: tuple[str, ...], everything: bool, even_newest: bool, undo: bool,
    dry_run: bool, host: str | None, name: str | None, **options: object,
) -> None:  # fmt: skip
    """Forget the snapshots that no rule keeps, or those that are named.

    Rules apply to each source by itself; what one of them keeps is kept. The newest snapshot of a
    source is always kept, as are those with the tag 'pin', and the last ones of the 7 newest days
    unless --below-floor is said. While a rule has room left, the oldest snapshot is kept, too.

    A time in the future, or one that steps back in the order of the log, pushes nothing out.

    Space is given back by 'snapfs prune'. Until then --undo brings snapshots back.
    """
    rules = msgspec.convert(options, Rules)
    wish = Wish(
        named=snapshots, everything=everything, even_newest=even_newest, undo=undo,
        dry_run=dry_run, only=Filter(host, name),
    )  # fmt: skip
    check_wish(wish, rules)
    session = begin(given)
    if undo:
        _show_recalled(run(lambda: _undo(session, wish)), wish, given)
        return
    by_rules = by_policy(rules.policy(), wish.only, rules.days_begin()) if rules.is_given else None
    report, goes = run(lambda: _forget(session, wish, by_rules))
    _warn_of_tags(report, rules)
    _show(report, goes, wish, given)


def check_wish(wish: Wish, rules: Rules) -> None:
    """Raise UsageError for options that do not go together."""
    ways = [
        ("SNAPSHOT", bool(wish.named) and not wish.undo),
        ("--all", wish.everything),
        ("--undo", wish.undo),
        ("rules", rules.is_given),
    ]
    said = [way for way, is_said in ways if is_said]
    if not said:
        raise UsageError(
            "nothing says which snapshots to forget",
            hint="name them, or give rules such as --keep-daily 7 or --preset standard",
        )
    if len(said) > 1:
        raise UsageError(f"these do not go together: {', '.join(said)}")
    if wish.everything and None in (wish.only.host, wish.only.name):
        raise UsageError("--all forgets one whole source", hint="say which, with --host and --name")
    if wish.even_newest and (wish.undo or not wish.named):
        raise UsageError("--even-newest is for snapshots that are named")


async def _forget(
    session: Session, wish: Wish, by_rules: Decide | None
) -> tuple[ForgetReport, Freed | None]:
    async with session.repository() as repository:
        await repository.look(blocks=False)
        chosen_sources(repository, wish.only)
        decide = by_rules or await _decide(repository, wish)
        report = await forget(
            repository, decide, host=socket.gethostname(), reason=_reason(wish),
            dry_run=wish.dry_run,
        )  # fmt: skip
        return report, await what_goes(repository, report) if wish.dry_run else None


async def _decide(repository: Repository, wish: Wish) -> Decide:
    if wish.everything:
        return whole_source(wish.only.host or "", wish.only.name or "")
    await repository.catch_up(blocks=False)
    candidates = list(repository.snapshots.stream(wish.only))
    ids = _ids(repository, candidates, wish.named)
    return chosen(ids, even_newest=wish.even_newest)


def _reason(wish: Wish) -> str:
    return "named" if wish.named else "all of its source" if wish.everything else "rules"


async def _undo(session: Session, wish: Wish) -> RecallReport:
    async with session.repository() as repository:
        await repository.catch_up(blocks=False)
        candidates = repository.snapshots.forgotten(wish.only)
        if not candidates:
            raise SnapshotNotFoundError("there is no forgotten snapshot")
        if wish.named:
            ids = _ids(repository, candidates, wish.named)
        else:
            ids = [one.id for one in last_forgotten(repository, wish.only)]
        return await recall(repository, ids, host=socket.gethostname(), dry_run=wish.dry_run)


def _ids(
    repository: Repository, candidates: Sequence[Snapshot], names: Sequence[str]
) -> list[Attempt]:
    now = repository.world.now_ns()
    return [choose(candidates, name, now).id for name in names]


def _warn_of_tags(report: ForgetReport, rules: Rules) -> None:
    """A tag that is mistyped keeps nothing."""
    known = {tag for verdict in report.verdicts for tag in verdict.snapshot.tags}
    for tag in sorted({*rules.tags} - known):
        log.warning("no snapshot has the tag '%s', which --keep-tag names", tag)


def _show(report: ForgetReport, goes: Freed | None, wish: Wish, given: Globals) -> None:
    count = len(report.dropped)
    if given.json:
        verdicts = [_json_of(verdict) for verdict in report.verdicts]
        freed = FreedJson(goes.plain, goes.stored) if goes else None
        output.say_json(ForgetJson(wish.dry_run, report.record, count, verdicts, freed))
        return
    rows = [_row(verdict) for verdict in report.verdicts]
    for line in render.table(_TITLES, rows, bold=output.on_terminal()):
        output.say(line)
    verb = "would forget" if wish.dry_run else "forgot"
    stay = len(report.verdicts) - count
    output.say(f"{verb} {render.plural(count, 'snapshot')}" + (f", kept {stay:,}" if stay else ""))
    if goes:
        output.say(
            f"only they need {format_size(goes.plain)}: 'snapfs prune' can give back about "
            f"{format_size(goes.stored)} then"
        )
    if count and not wish.dry_run:
        output.say(
            "'snapfs forget --undo' brings them back, until 'snapfs prune' takes their data in "
            "14 days or later"
        )


def _show_recalled(report: RecallReport, wish: Wish, given: Globals) -> None:
    if given.json:
        ids = [snapshot.id.hex() for snapshot in report.snapshots]
        output.say_json(RecallJson(wish.dry_run, report.record, ids))
        return
    verb = "would bring back" if wish.dry_run else "brought back"
    for snapshot in report.snapshots:
        time = render.local_time(snapshot.time_ns)
        output.say(f"{verb} {snapshot.short_id}  {time}  {snapshot.source}")


def _row(verdict: Verdict) -> tuple[str, ...]:
    snapshot = verdict.snapshot
    doubts = [_STEPPED_BACK] if verdict.stepped_back else []
    return (
        "keep" if verdict.kept else "forget",
        snapshot.short_id,
        render.local_time(snapshot.time_ns),
        snapshot.source.host,
        snapshot.source.name,
        ", ".join([*verdict.reasons, *doubts]),
    )


def _json_of(verdict: Verdict) -> VerdictJson:
    snapshot = verdict.snapshot
    return VerdictJson(
        id=snapshot.id.hex(),
        time=render.exact_time(snapshot.time_ns),
        host=snapshot.source.host,
        source=snapshot.source.name,
        kept=verdict.kept,
        reasons=verdict.reasons,
        future=verdict.future,
        stepped_back=verdict.stepped_back,
    )
