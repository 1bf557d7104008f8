"""Keeping the cores of a virtual machine from halting while there is much to do.

What works in turns, a program and its mount, or threads that hand each other their results, leaves
one core idle for moments while another works. A guest's idle core halts, and to wake it takes a
trip to the host, which is longer than most of these moments. While somebody holds Linux's
/dev/cpu_dma_latency open at zero, idle cores look for work in a loop in place of that, on all of
the machine; that is over when the descriptor is closed, be it by the end of the process. (Linux,
admin-guide/pm/cpuidle.rst, "Power Management Quality of Service for CPUs".)

That is done only in guests whose idle cores are driven by `haltpoll`: there the host has said that
the cores belong to this machine alone. Bare metal saves power in ways that cost less time.
"""

import os
import struct
import time
from pathlib import Path

import trio

_DEVICE = Path("/dev/cpu_dma_latency")
"root's, unless the machine is told otherwise"
_DRIVER = Path("/sys/devices/system/cpu/cpuidle/current_driver")
_OF_GUESTS = "haltpoll"
_AT_ONCE = struct.pack("i", 0)
"microseconds that a core may take to wake"
_LOOK = 0.25
"seconds after which it is looked again whether there is much to do"
_MUCH = 0.5
"cores that this process has in use then"


class Cores:
    """The cores of this machine. Where nothing can be asked of them, nothing is."""

    def __init__(self, *, device: Path = _DEVICE, driver: Path = _DRIVER) -> None:
        self._device = device if _driven_by(driver) == _OF_GUESTS else None
        self._held: int | None = None

    @property
    def awake(self) -> bool:
        """Whether they are kept awake."""
        return self._held is not None

    def keep_awake(self) -> None:
        """Keep them from halting, if this machine and its rights allow it."""
        if self._held is not None or self._device is None:
            return
        try:
            self._held = os.open(self._device, os.O_WRONLY | os.O_CLOEXEC)
            os.write(self._held, _AT_ONCE)
        except OSError:
            self._device = None
            self.let_halt()

    def let_halt(self) -> None:
        """Let them halt again."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


async def keep_awake_while_busy(cores: Cores) -> None:
    """Keep cores awake whenever this process has much to do, until it is cancelled.

    It has not while it waits for a store that is far away: then they may halt.
    """
    try:
        while True:
            began, used = time.monotonic(), time.process_time()
            await trio.sleep(_LOOK)
            if time.process_time() - used > _MUCH * (time.monotonic() - began):
                cores.keep_awake()
            else:
                cores.let_halt()
    finally:
        cores.let_halt()


def _driven_by(driver: Path) -> str:
    try:
        return driver.read_text().strip()
    except OSError:
        return ""
