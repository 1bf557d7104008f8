"""A machine whose cores may be kept awake: a file in place of the kernel's device.

What is written there can be read, and whether this process has it open is known.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from snapfs.repository.cores import Cores


@dataclass(frozen=True, slots=True)
class Guest:
    """A virtual machine, or with another driver any machine."""

    folder: Path
    driver: str = "haltpoll"

    def __post_init__(self) -> None:
        self.device.touch()
        self._driver.write_text(f"{self.driver}\n")

    def cores(self) -> Cores:
        return Cores(device=self.device, driver=self._driver)

    @property
    def device(self) -> Path:
        return self.folder / "cpu_dma_latency"

    @property
    def _driver(self) -> Path:
        return self.folder / "current_driver"

    @property
    def was_held(self) -> bool:
        """Whether no latency at all was ever asked for."""
        return self.device.read_bytes() == bytes(4)

    @property
    def is_held(self) -> bool:
        """Whether the device is open."""
        with os.scandir("/proc/self/fd") as found:
            links = [entry.path for entry in found]
        return str(self.device) in {os.readlink(link) for link in links if os.path.islink(link)}
