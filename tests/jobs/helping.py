"""What tests do to helpers."""

import signal

from snapfs.jobs.helper import Helper


def kill(helper: Helper) -> None:
    """Kill a helper, and wait until it is gone."""
    assert helper._process is not None
    helper._process.send_signal(signal.SIGKILL)
    helper._process.wait()
