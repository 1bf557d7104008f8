"""Cores are kept awake while there is much to do, where that may be asked, and not longer."""

from pathlib import Path

import pytest
import trio

from snapfs.repository import cores as cores_module
from snapfs.repository.cores import Cores, keep_awake_while_busy
from tests.cores import Guest


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def test_they_are_awake_as_long_as_the_device_is_open(guest: Guest) -> None:
    cores = guest.cores()
    assert not cores.awake
    assert not guest.is_held
    cores.keep_awake()
    cores.keep_awake()
    assert cores.awake
    assert guest.was_held
    assert guest.is_held
    cores.let_halt()
    assert not cores.awake
    assert not guest.is_held
    cores.let_halt()
    cores.keep_awake()
    assert cores.awake
    cores.let_halt()


@pytest.mark.parametrize("driver", ["intel_idle", "none", ""])
def test_bare_metal_is_left_alone(tmp_path: Path, driver: str) -> None:
    metal = Guest(tmp_path, driver=driver)
    cores = metal.cores()
    cores.keep_awake()
    assert not cores.awake
    assert not metal.was_held


def test_a_machine_that_lacks_such_things_is_no_trouble(guest: Guest, tmp_path: Path) -> None:
    driver = tmp_path / "current_driver"
    for cores in (
        Cores(device=guest.device, driver=tmp_path / "missing"),
        Cores(device=tmp_path / "missing", driver=driver),
        Cores(device=tmp_path, driver=driver),
    ):
        cores.keep_awake()
        assert not cores.awake
        cores.let_halt()


def test_a_device_that_refuses_is_closed(guest: Guest, tmp_path: Path) -> None:
    cores = Cores(device=Path("/dev/full"), driver=tmp_path / "current_driver")
    cores.keep_awake()
    assert not cores.awake


async def test_much_to_do_keeps_them_awake_and_waiting_does_not(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores_module, "_LOOK", 0.05)
    cores = guest.cores()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_awake_while_busy, cores)
            await trio.sleep(0.2)
            assert not cores.awake
            # As other programs may have the processor, it is not said when this one had enough.
            while not cores.awake:
                await trio.to_thread.run_sync(sum, range(1_000_000))
            while cores.awake:  # noqa: ASYNC110  (nobody says when)
                await trio.sleep(0.05)
            while not cores.awake:
                await trio.to_thread.run_sync(sum, range(1_000_000))
            assert guest.is_held
            nursery.cancel_scope.cancel()
    assert not guest.is_held
