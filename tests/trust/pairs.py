"""The jobs of the matrix in docs/design.md, each as one of two that are at work at once."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from snapfs.errors import WrongPassphraseError
from snapfs.jobs import keys
from snapfs.jobs.forget import chosen, forget
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import PruneOptions
from snapfs.jobs.restore import RestoreOptions, RestoreReport, restore
from snapfs.model.identity import Commit
from snapfs.model.pruning import PrunePolicy
from snapfs.repository.repository import open_keys
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from tests.formats.samples import CHEAP
from tests.jobs.checking import checked
from tests.jobs.repairing import repaired
from tests.manifest import Manifest, manifest_of_tree
from tests.mount.mounting import mounted, use
from tests.trust.beside import TO_READ, PacedStore, Scene

_PASSPHRASE = "a passphrase"
"of the slot that the repository has"


async def _ingest(scene: Scene, who: int) -> None:
    async with scene.host(who) as host:
        report = await host.ingest(progress_rows=4)
        assert report.findings.listed == []


async def _sync(scene: Scene, who: int) -> None:
    async with scene.host(who) as host:
        await host.repository.catch_up_all()


async def _mount(scene: Scene, who: int) -> None:
    mountpoint = scene.folder / f"mnt{who}"
    async with scene.host(who) as host, mounted(host.repository, mountpoint) as root:
        source = root / "host0" / "source"
        name = sorted(await use(os.listdir, source))[TO_READ]
        await scene.pause()
        seen = await use(manifest_of_tree, f"{source / name}{scene.begun.tree}")
        assert _contents(seen) == _contents(scene.begun.manifests[scene.begun.to_read])


async def _forget(scene: Scene, who: int) -> None:
    scene.forgotten.add(scene.begun.to_forget)
    async with scene.host(who) as host:
        await host.repository.catch_up()
        head = host.repository.replica.head(Commit(scene.begun.to_forget))
        decide = chosen([head.attempt], even_newest=True)
        await forget(host.repository, decide, host=host.host)


async def _prune(scene: Scene, who: int) -> None:
    options = PruneOptions(
        host=f"host{who}", policy=PrunePolicy(max_unused=0.0), condemned_for_ns=0,
        forgotten_for_ns=0, orphaned_for_ns=0,
    )  # fmt: skip
    async with scene.host(who) as host:
        await prune(host.repository, options, Progress())


async def _check(scene: Scene, who: int) -> None:
    async with scene.host(who) as host:
        await host.repository.catch_up_all()
        report = await checked(host.repository)
        assert scene.only_what_was_damaged(report), report.problems


async def _repair(scene: Scene, who: int) -> None:
    report = await repaired(PacedStore(scene.store, scene.chance), scene.state(who))
    assert report.sound


async def _restore(scene: Scene, who: int) -> None:
    target = scene.folder / f"target{who}"
    report = await restored(scene, who, target)
    assert report.troubles == ()
    assert manifest_of_tree(target) == scene.begun.manifests[scene.begun.to_read]


async def restored(scene: Scene, who: int, target: Path) -> RestoreReport:
    """Restore the snapshot that is to be read."""
    async with scene.host(who) as host, host.repository.reading() as reader:
        await host.repository.catch_up()
        snapshots = host.repository.snapshots.stream()
        (snapshot,) = (one for one in snapshots if one.number == scene.begun.to_read)
        options = RestoreOptions(target=bytes(target), path=bytes(scene.begun.tree))
        return await restore(host.repository, reader, snapshot, options, Progress())


async def _change_key(scene: Scene, who: int) -> None:
    store, new = PacedStore(scene.store, scene.chance), f"new passphrase {who}"
    place = Directories(scene.state(who) / "state", scene.state(who) / "cache")
    try:
        opened = await open_keys(store, place, lambda: _PASSPHRASE)
    except WrongPassphraseError:
        assert scene.passphrases, "the other one has changed it already"
        return
    scene.passphrases.append(new)
    await keys.change_passphrase(store, opened, new, World(), derivation=CHEAP)


def _contents(manifest: Manifest) -> dict[bytes, str]:
    return {path: item.content for path, item in manifest.items()}


JOBS: dict[str, Callable[[Scene, int], Awaitable[None]]] = {
    "ingest": _ingest,
    "sync": _sync,
    "mount": _mount,
    "forget": _forget,
    "prune": _prune,
    "check": _check,
    "repair": _repair,
    "restore": _restore,
    "key change": _change_key,
}
