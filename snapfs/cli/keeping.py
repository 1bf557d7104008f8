"""The options that say which snapshots to keep, and the policy that they make together."""

from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from typing import ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import click
import msgspec

from snapfs.errors import UsageError
from snapfs.model.retention import PRESETS, UNLIMITED, Policy
from snapfs.model.spans import Span, parse_span

P = ParamSpec("P")
R = TypeVar("R")

_MOST_DIGITS = 9


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given; None where one was not."""

    last: int | None
    hourly: int | None
    daily: int | None
    weekly: int | None
    monthly: int | None
    yearly: int | None
    within: str | None
    tags: tuple[str, ...]
    preset: str | None
    below_floor: bool
    zone: str | None

    @property
    def is_given(self) -> bool:
        """Whether any was given."""
        return any(value not in (None, (), False) for value in msgspec.structs.astuple(self))

    def policy(self) -> Policy:
        """What they say together; each replaces the preset's rule of its kind. UsageError."""
        policy = PRESETS[self.preset] if self.preset else Policy()
        policy = replace(
            policy,
            last=_or(self.last, policy.last),
            hourly=_or(self.hourly, policy.hourly),
            daily=_or(self.daily, policy.daily),
            weekly=_or(self.weekly, policy.weekly),
            monthly=_or(self.monthly, policy.monthly),
            yearly=_or(self.yearly, policy.yearly),
            tags=policy.tags.union(self.tags),
        )
        if self.within is not None:
            policy = replace(policy, within=_span(self.within))
        if self.below_floor:
            policy = replace(policy, floor=0)
        return policy

    def days_begin(self) -> tzinfo | None:
        """The zone that says where days begin; None is the system's. UsageError."""
        if self.zone is None:
            return None
        try:
            return ZoneInfo(self.zone)
        except (ValueError, OSError, KeyError) as error:
            raise UsageError(
                f"there is no time zone {self.zone!r}", hint="write it as UTC or Europe/Berlin"
            ) from error


def keeping(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command take the options of `Rules`, by the names of its fields."""
    for option in (
        click.option("--keep-last", "--keep-versions", "-l", "last", type=_count, metavar="N",
                     help="Keep the N newest. N may be 'unlimited' here and below."),
        click.option("--keep-hourly", "-H", "hourly", type=_count, metavar="N",
                     help="Keep the last of each of the N newest hours that have one."),
        click.option("--keep-daily", "-d", "daily", type=_count, metavar="N",
                     help="The same for days."),
        click.option("--keep-weekly", "-w", "weekly", type=_count, metavar="N",
                     help="The same for weeks."),
        click.option("--keep-monthly", "-m", "monthly", type=_count, metavar="N",
                     help="The same for months."),
        click.option("--keep-yearly", "-y", "yearly", type=_count, metavar="N",
                     help="The same for years."),
        click.option("--keep-within", "within", metavar="SPAN",
                     help="Keep what is less than this older than the newest, such as 1y2m7d3h."),
        click.option("--keep-tag", "tags", multiple=True, metavar="TAG",
                     help="Keep what has this tag."),
        click.option("--preset", type=click.Choice(list(PRESETS)),
                     help="standard: all of 7 days, 3 a week for 3 weeks, 1 a week for 8 weeks, "
                     "1 a month for 12 months."),
        click.option("--below-floor", is_flag=True,
                     help="Let even the last snapshots of the 7 newest days go."),
        click.option("--zone", metavar="ZONE",
                     help="Where days begin, such as Europe/Berlin; else where you are."),
    )[::-1]:  # fmt: skip
        command = option(command)
    return command


def _or(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given


def _count(text: str) -> int:
    """A number, or `unlimited`."""
    if text == "unlimited":
        return UNLIMITED
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise click.BadParameter(f"neither a number nor 'unlimited': {text!r}")
    return int(text)


def _span(text: str) -> Span:
    span = parse_span(text)
    if span is None or span == Span():
        raise UsageError(
            f"not a span of time: {text!r}", hint="write it as 14d, 1y6m or 36h: y m w d h"
        )
    return span
