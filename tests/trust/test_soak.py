"""The soak that people run for minutes: here for seconds, so that it is known to run."""

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parents[2] / "contrib" / "soak.py"


def test_a_few_seconds_of_it() -> None:
    done = subprocess.run(
        (sys.executable, SOAK, "--minutes", "0.05"), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 hosts" in done.stdout
    assert "snapshots compared" in done.stdout
