"""What these tests have tried, counted and told at the end."""

from collections import Counter
from dataclasses import dataclass, field

import pytest


@dataclass(slots=True)
class Tally:
    """How much was tried."""

    crash_points: int = 0
    jobs: int = 0
    "that were killed there"
    fault_cases: int = 0
    "faults between client and server that struck"
    states: int = 0
    "older, cut or missing local states that were gone on from"
    snapshots: int = 0
    "of many hosts, compared with what was captured"
    met: Counter[str] = field(default_factory=Counter)
    "what ingests and prunes at once came to"

    def lines(self) -> list[str]:
        """For people; what was not tried has none."""
        told = {
            f"{self.crash_points} crash points, {self.jobs} jobs": self.jobs,
            f"{self.fault_cases} fault cases hit": self.fault_cases,
            f"{self.states} older, cut or lost states": self.states,
            f"{self.snapshots} snapshots of many hosts compared": self.snapshots,
            "race: " + ", ".join(f"{n} {what}" for what, n in self.met.items()): len(self.met),
        }
        return [line for line, count in told.items() if count]


_KEY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """The counts of this run."""
    return pytestconfig.stash.setdefault(_KEY, Tally())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tally = config.stash.get(_KEY, None)
    for line in tally.lines() if tally else ():
        terminalreporter.write_line(line)
