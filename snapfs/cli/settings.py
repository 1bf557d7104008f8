"""What the environment says: places, directories, and where passphrases come from.

Pure: nothing is opened, read or asked here.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snapfs.errors import UsageError
from snapfs.repository.state import Directories
from snapfs.stores.locate import DirectoryLocation, Location, parse_url
from snapfs.stores.policy import RetryPolicy

CREDENTIAL = "snapfs-passphrase"
"the name of the systemd credential"


@dataclass(frozen=True, slots=True)
class Machine:
    """Who runs this, and where."""

    environment: Mapping[str, str]
    uid: int
    home: Path
    cwd: Path

    @property
    def is_root(self) -> bool:
        return self.uid == 0


@dataclass(frozen=True, slots=True)
class Given:
    """A passphrase that the environment holds."""

    text: str
    name: str
    "of the variable that it is in"


@dataclass(frozen=True, slots=True)
class InFile:
    """A passphrase that a file holds."""

    path: Path


@dataclass(frozen=True, slots=True)
class Asked:
    """A passphrase that the user has to be asked for."""


SecretSource = Given | InFile | Asked


def location(option: str | None, machine: Machine) -> Location:
    """Where the repository is; a directory as an absolute path. Raises UsageError."""
    text = option or machine.environment.get("SNAPFS_REPOSITORY")
    found = parse_url(text, _default_repository(machine))
    if isinstance(found, DirectoryLocation):
        return DirectoryLocation(Path(os.path.normpath(machine.cwd / found.path)))
    return found


def directories(machine: Machine) -> Directories:
    """Where this machine keeps what it can rebuild."""
    return Directories(
        state=_directory(machine, "SNAPFS_STATE_DIR", "/var/lib", "XDG_STATE_HOME", ".local/state"),
        cache=_directory(machine, "SNAPFS_CACHE_DIR", "/var/cache", "XDG_CACHE_HOME", ".cache"),
    )


def retry_policy(machine: Machine) -> RetryPolicy:
    """How long a store that cannot be reached is tried again. Raises UsageError."""
    text = machine.environment.get("SNAPFS_RETRY_SECONDS")
    if text is None:
        return RetryPolicy()
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"SNAPFS_RETRY_SECONDS is not a number of seconds: {text!r}")
    return RetryPolicy(deadline=seconds)


def passphrase(machine: Machine) -> SecretSource:
    """Where the passphrase that opens the repository comes from."""
    environment = machine.environment
    found = _from_environment(environment, "SNAPFS_PASSPHRASE")
    if found is None and "CREDENTIALS_DIRECTORY" in environment:
        return InFile(Path(environment["CREDENTIALS_DIRECTORY"]) / CREDENTIAL)
    return found or Asked()


def new_passphrase(machine: Machine) -> SecretSource:
    """Where a further or changed passphrase comes from."""
    return _from_environment(machine.environment, "SNAPFS_NEW_PASSPHRASE") or Asked()


def _from_environment(environment: Mapping[str, str], name: str) -> SecretSource | None:
    if name in environment:
        return Given(environment[name], name)
    if f"{name}_FILE" in environment:
        return InFile(Path(environment[f"{name}_FILE"]))
    return None


def _default_repository(machine: Machine) -> Path:
    if machine.is_root:
        return Path("/var/lib/snapfs/repository")
    return _xdg(machine, "XDG_DATA_HOME", ".local/share") / "snapfs/repository"


def _directory(machine: Machine, own: str, system: str, xdg: str, below_home: str) -> Path:
    if named := machine.environment.get(own):
        return machine.cwd / named
    return (Path(system) if machine.is_root else _xdg(machine, xdg, below_home)) / "snapfs"


def _xdg(machine: Machine, name: str, below_home: str) -> Path:
    """The XDG base directory; a relative one is to be passed over, says its specification."""
    named = Path(machine.environment.get(name, ""))
    return named if named.is_absolute() else machine.home / below_home
