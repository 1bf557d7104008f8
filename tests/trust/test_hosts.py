"""Hosts that do anything in any order, while stores fail: every snapshot stays what it was.

SNAPFS_TRUST_EXAMPLES is the number of stories; the default takes some seconds.
"""

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from snapfs.errors import PutConflictError, StoreUnavailableError
from tests.faulty import Fault, Verb
from tests.jobs.ingesting import LATER
from tests.trust.conftest import Tally
from tests.trust.world import HOSTS, SHARED, Faults, Hosts

_EXAMPLES = int(os.environ.get("SNAPFS_TRUST_EXAMPLES") or 8)
_STEPS = 20
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_DAY = 24 * 3600 * 10**9

_hosts = st.integers(0, HOSTS - 1)
_trees = st.integers(0, SHARED)
_names = st.sampled_from(["same", "a", "b", "d/c", "d/e"])


def _away() -> StoreUnavailableError:
    return StoreUnavailableError("the store is away")


@st.composite
def _fault(draw: st.DrawFn) -> tuple[Verb, Fault]:
    verb: Verb = draw(st.sampled_from(("put", "get", "list", "delete")))
    prefixes = ("log/", "meta/", "packs/") if verb in ("put", "get") else ("",)
    on, skip = draw(st.sampled_from(prefixes)), draw(st.integers(0, 5))
    if draw(st.booleans()):
        return verb, Fault(on=on, skip=skip, after=_away())
    if verb == "put" and on == "log/" and draw(st.booleans()):
        return verb, Fault(on=on, skip=skip, before=PutConflictError("another put"))
    return verb, Fault(on=on, skip=skip, before=_away())


_faults = st.lists(_fault(), max_size=3)


class Story(RuleBasedStateMachine):
    """One story; `tally` counts what all of them came to."""

    tally = Tally()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=_MEMORY))
        self.hosts = Hosts(self.folder)

    @initialize()
    def create(self) -> None:
        trio.run(self.hosts.create)

    # --- on the hosts

    @rule(tree=_trees, name=_names, seed=st.integers(0, 3), size=st.sampled_from([0, 10, 300_000]))
    def write(self, tree: int, name: str, seed: int, size: int) -> None:
        self.hosts.write(tree, name, seed, size)

    @rule(tree=_trees, name=_names, other=_names)
    def rename(self, tree: int, name: str, other: str) -> None:
        if (self.hosts.tree(tree) / name).exists() and other.startswith("d/") <= name.startswith(
            "d/"
        ):
            (self.hosts.tree(tree) / name).rename(self.hosts.tree(tree) / other)

    @rule(tree=_trees, name=_names)
    def remove(self, tree: int, name: str) -> None:
        (self.hosts.tree(tree) / name).unlink(missing_ok=True)
        shutil.rmtree(self.hosts.tree(tree) / "d", ignore_errors=True)

    @rule(host=_hosts)
    def lose_state(self, host: int) -> None:
        self.hosts.lose_state(host)

    @rule(host=_hosts)
    def keep_state(self, host: int) -> None:
        self.hosts.keep_state(host)

    @rule(host=_hosts)
    def older_state(self, host: int) -> None:
        self.hosts.older_state(host)

    @rule(host=_hosts, days=st.sampled_from([-400, -1, 0, 1, 400]))
    def jump_in_time(self, host: int, days: int) -> None:
        self.hosts.ahead_ns[host] = LATER + days * _DAY

    # --- jobs

    @rule(host=_hosts, faults=_faults, steps=st.booleans())
    def ingest(self, host: int, faults: Faults, steps: bool) -> None:
        trio.run(lambda: self.hosts.ingest(host, faults, steps=steps))

    @rule(host=_hosts, faults=_faults, steps=st.booleans())
    def ingest_shared(self, host: int, faults: Faults, steps: bool) -> None:
        trio.run(lambda: self.hosts.ingest(host, faults, tree=SHARED, steps=steps))

    @rule(host=_hosts, faults=_faults)
    def catch_up(self, host: int, faults: Faults) -> None:
        trio.run(self.hosts.catch_up, host, faults)

    @rule(host=_hosts, faults=_faults)
    def label(self, host: int, faults: Faults) -> None:
        trio.run(self.hosts.label, host, faults)

    @rule(host=_hosts, which=st.integers(0, 20), faults=_faults)
    def forget(self, host: int, which: int, faults: Faults) -> None:
        trio.run(self.hosts.forget, host, which, faults)

    @rule(host=_hosts, faults=_faults, wait=st.booleans())
    def prune(self, host: int, faults: Faults, wait: bool) -> None:
        trio.run(lambda: self.hosts.prune(host, faults, wait=wait))

    # --- at once

    @rule(slow=_hosts, next_one=st.booleans(), name=_names, seed=st.integers(0, 3))
    def overtake(self, slow: int, next_one: bool, name: str, seed: int) -> None:
        fast = (slow + 1 + next_one) % HOSTS
        self.hosts.store.late = 0
        trio.run(self.hosts.overtake, slow, fast, name, seed)

    @rule(pace=st.randoms(use_true_random=True), faults=_faults, steps=st.booleans())
    def all_ingest_shared(self, pace: Random, faults: Faults, steps: bool) -> None:
        self._crowd(
            pace,
            lambda: self.hosts.ingest(0, faults, tree=SHARED, steps=steps),
            lambda: self.hosts.ingest(1, tree=SHARED, steps=steps),
            lambda: self.hosts.ingest(2, tree=SHARED),
        )

    @rule(pace=st.randoms(use_true_random=True), faults=_faults, steps=st.booleans())
    def prune_beside(self, pace: Random, faults: Faults, steps: bool) -> None:
        self._crowd(
            pace,
            lambda: self.hosts.prune(0, faults),
            lambda: self.hosts.ingest(1, steps=steps),
            lambda: self.hosts.ingest(2, tree=SHARED, steps=steps),
        )

    @rule(pace=st.randoms(use_true_random=True))
    def prune_twice(self, pace: Random) -> None:
        self._crowd(pace, lambda: self.hosts.prune(0), lambda: self.hosts.prune(1))

    # --- on the way

    @rule(lag=st.integers(0, 5))
    def listings_lag(self, lag: int) -> None:
        self.hosts.store.lag = lag

    @rule(puts=st.integers(1, 8))
    def a_put_will_be_late(self, puts: int) -> None:
        self.hosts.store.late = puts

    @rule()
    def late_puts_arrive(self) -> None:
        trio.run(self.hosts.store.arrive)

    def teardown(self) -> None:
        self.tally.snapshots += trio.run(self.hosts.verify)
        self.tally.fault_cases += self.hosts.struck
        shutil.rmtree(self.folder)

    def _crowd(self, pace: Random, *actions: Callable[[], Awaitable[None]]) -> None:
        async def together() -> None:
            async with trio.open_nursery() as nursery:
                for action in actions:
                    nursery.start_soon(action)

        self.hosts.crowded, self.hosts.store.pace = True, pace
        trio.run(together)
        self.hosts.crowded, self.hosts.store.pace = False, None


def test_any_story(tally: Tally) -> None:
    Story.tally = tally
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=_EXAMPLES,
            stateful_step_count=_STEPS,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
