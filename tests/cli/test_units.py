"""The systemd units are sound: `systemd-analyze verify` says nothing about them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import PROJECT

UNITS = PROJECT / "contrib" / "systemd"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
@pytest.mark.parametrize(("folder", "options"), [(".", []), ("user", ["--user"])])
def test_systemd_accepts_them(tmp_path: Path, folder: str, options: list[str]) -> None:
    units = [_instance(unit, tmp_path) for unit in sorted((UNITS / folder).glob("*@.*"))]
    assert len(units) == 5
    done = subprocess.run(
        ["systemd-analyze", *options, "verify", *units], capture_output=True, text=True,
        check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def _instance(unit: Path, folder: Path) -> Path:
    """An instance of a template whose program exists: the real one may not be installed here."""
    text = re.sub(
        r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text(), flags=re.M
    )
    made = folder / unit.name.replace("@.", "@test.")
    made.write_text(text)
    return made
