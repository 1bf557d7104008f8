"""Doing batches: contents are read as they come, and written in threads, many files at a time."""

import errno
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import trio

from snapfs.errors import DamagedError, ObjectTooShortError
from snapfs.jobs.restore.directory import Directories, is_full_directory
from snapfs.jobs.restore.drafts import Draft, ReadBackError
from snapfs.jobs.restore.entries import Held, Maker
from snapfs.jobs.restore.groups import Group, group_of, groups
from snapfs.jobs.restore.links import FirstName, Links
from snapfs.jobs.restore.options import RestoreOptions
from snapfs.jobs.restore.report import Tally
from snapfs.jobs.restore.small import Ready, SmallMaker
from snapfs.jobs.restore.walk import Batch, Task
from snapfs.model.content import total_length
from snapfs.model.finding import Trouble
from snapfs.model.identity import BlockKey, NodeNumber
from snapfs.repository.reader import ContentReader, Piece
from snapfs.repository.repository import Repository

_AHEAD = 2
"groups of a large file that are fetched while one is written"
_NOT_EMPTY = OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
"what is met where a directory has the name, and something in it"


class Work:
    """Makes what the walk hands out. Batches are announced in order, and done at once."""

    def __init__(
        self, repository: Repository, reader: ContentReader, maker: Maker,
        directories: Directories, links: Links, options: RestoreOptions, tally: Tally,
        small: SmallMaker,
    ) -> None:  # fmt: skip
        self._repository = repository
        self._reader = reader
        self._maker = maker
        self._directories = directories
        self._links = links
        self._options = options
        self._tally = tally
        self._being_made: dict[NodeNumber, trio.Event] = {}
        "nodes with several names whose first name is being made"
        self._small = small
        self._further: set[Task] = set()
        "tasks that are to be further names of a node"
        self._nameless: set[NodeNumber] = set()
        "in a dry run, nodes whose first name could not be made: the next one comes first"

    def expect(self, batch: Batch) -> None:
        """Note which of these come first of their node. To be called in the order of the walk.

        A task that makes a first name never waits for another task: so waiting for it ends.
        """
        for task in batch.tasks:
            if task.wanted.nlink == 1:
                continue
            if task.node in self._being_made or self._links.find(task.node):
                self._further.add(task)
            else:
                self._being_made[task.node] = trio.Event()

    async def do(self, batch: Batch) -> None:
        """Make everything of a batch. Raises LocalError, StoreError, ViewDamagedError."""
        if self._options.dry_run:
            self._count(batch)
            return
        first = [task for task in batch.tasks if task not in self._further]
        further = [task for task in batch.tasks if task in self._further]
        self._further.difference_update(further)
        if first:
            await self._make(first)
        if further:
            await self._link(further)

    def _count(self, batch: Batch) -> None:
        for task in batch.tasks:
            further = task in self._further
            if self._is_in_the_way(task):
                self._maker.report_error(task, _NOT_EMPTY)
                if not further:
                    self._nameless.add(task.node)
            elif further and task.node not in self._nameless:
                self._tally.linked(task.path)
            elif task.same:
                self._tally.skipped(task.wanted, task.path)
            else:
                self._tally.made(task.wanted, task.path)
                self._nameless.discard(task.node)
            self._further.discard(task)
            self._directories.release(task.directory)

    def _is_in_the_way(self, task: Task) -> bool:
        return not (task.same or self._options.delete) and is_full_directory(
            task.directory, task.name
        )

    async def _make(self, tasks: list[Task]) -> None:
        if tasks[0].is_large and not tasks[0].same:
            (task,) = tasks
            name = await self._make_large(task)
            self._note(task, name)
            await trio.to_thread.run_sync(self._directories.release, task.directory)
            return
        names = await self._small.make(tasks, await self._read_small(tasks))
        for task, name in zip(tasks, names, strict=True):
            self._note(task, name)

    def _note(self, task: Task, name: FirstName | None) -> None:
        """Remember where a node with several names is, and wake who waits for it."""
        if task.wanted.nlink == 1:
            return
        if name is not None:
            self._links.add(task.node, name)
        made = self._being_made.pop(task.node, None)
        if made is not None:
            made.set()

    # --- small things

    async def _read_small(self, tasks: list[Task]) -> list[Ready]:
        """What is to be written, for each task; None for what needs no content."""
        wanted = [None if task.same else group_of(task.content) for task in tasks]
        blocks = await self._read_together([group for group in wanted if group])
        pairs = zip(tasks, wanted, strict=True)
        if blocks is None:
            ready = [await self._read_alone(task, group) for task, group in pairs]
        else:
            ready = [self._held(task, group, blocks) for task, group in pairs]
        self._passed(tasks, ready)
        return ready

    async def _read_together(self, wanted: list[Group]) -> Iterator[bytes] | None:
        """The blocks of all groups, in order; None where something of them is damaged."""
        try:
            blocks = [block for group in wanted for block in group.blocks]
            return iter(await self._reader.read_blocks(blocks))
        except (DamagedError, ObjectTooShortError):
            return None

    async def _read_alone(self, task: Task, group: Group | None) -> Ready:
        """Where something of a batch is damaged: is it this?"""
        try:
            blocks = await self._read(group) if group else []
        except DamagedError as error:
            return error
        return self._held(task, group, iter(blocks))

    def _held(self, task: Task, group: Group | None, blocks: Iterator[Piece]) -> Ready:
        mine = list(islice(blocks, len(group.blocks))) if group else []
        try:
            _check_size(task)
        except DamagedError as error:
            return error
        return Held(group, mine, self._keys(group)) if group else None

    def _passed(self, tasks: list[Task], ready: Sequence[Ready]) -> None:
        count = sum(
            task.wanted.size
            for task, held in zip(tasks, ready, strict=True)
            if task.wanted.is_file and not task.same and not isinstance(held, DamagedError)
        )
        self._tally.passed(count, tasks[-1].directory.path)

    # --- large files

    async def _make_large(self, task: Task) -> FirstName | None:
        try:
            _check_size(task)
            with await trio.to_thread.run_sync(self._maker.begin, task) as draft:
                await self._fill(task, draft)
                await self._verify(task, draft)
                return await trio.to_thread.run_sync(self._maker.finish, task, draft)
        except DamagedError as error:
            self._small.report_damage(task, error)
        except ReadBackError:
            self._tally.found(
                Trouble.DAMAGED, task.path, "did not read back from the disk as it was written"
            )
        except OSError as error:
            self._maker.report_error(task, error)
        return None

    async def _fill(self, task: Task, draft: Draft) -> None:
        rest = task.wanted.size
        for group in self._fetched_ahead(self._groups(task)):
            blocks = await self._read(group)
            await trio.to_thread.run_sync(draft.write, group, blocks)
            self._tally.passed(group.length, task.directory.path)
            rest -= group.length
        self._tally.passed(rest, task.directory.path)

    async def _verify(self, task: Task, draft: Draft) -> None:
        if not self._options.verify:
            return
        await trio.to_thread.run_sync(draft.forget_pages)
        for group in self._groups(task):
            keys = self._keys(group)
            await trio.to_thread.run_sync(draft.verify, group, keys, self._repository.keys.block_id)

    def _groups(self, task: Task) -> Iterator[Group]:
        return groups(self._repository.tree.extents(task.content))

    def _fetched_ahead(self, source: Iterable[Group]) -> Iterator[Group]:
        """The same groups; some are begun to be fetched before they are asked for."""
        rest = iter(source)
        ahead: deque[Group] = deque()
        while True:
            for group in islice(rest, 1 + _AHEAD - len(ahead)):
                self._reader.prefetch(group.layout, 0, group.length)
                ahead.append(group)
            if not ahead:
                return
            yield ahead.popleft()

    # --- further names

    async def _link(self, tasks: list[Task]) -> None:
        ready: list[tuple[Task, FirstName]] = []
        for task in tasks:
            first = await self._first_name(task)
            if first is None:
                await self._make([task])
            else:
                ready.append((task, first))
        for task in await trio.to_thread.run_sync(self._link_all, ready):
            await self._make([task])

    async def _first_name(self, task: Task) -> FirstName | None:
        """Where the node is; None if nothing could be made of it: the task then comes first."""
        while True:
            made = self._being_made.get(task.node)
            if made is not None:
                await made.wait()
                continue
            first = self._links.find(task.node)
            if first is None:
                self._being_made[task.node] = trio.Event()
            return first

    def _link_all(self, ready: list[tuple[Task, FirstName]]) -> list[Task]:
        """Make further names; in a thread. Those that need a copy instead."""
        copies: list[Task] = []
        for task, first in ready:
            if self._maker.link(task, first):
                self._directories.release(task.directory)
            else:
                copies.append(task)
        return copies

    # --- contents

    async def _read(self, group: Group) -> list[Piece]:
        """The blocks of a group, verified. Raises DamagedError, StoreError."""
        try:
            return await self._reader.read_pieces(group.layout, 0, group.length)
        except ObjectTooShortError as error:
            raise DamagedError(f"content is lost: {error.what}") from error

    def _keys(self, group: Group) -> tuple[BlockKey | None, ...]:
        if not self._options.verify:
            return ()
        return tuple(self._repository.blocks.key(block.number) for block in group.blocks)


def _check_size(task: Task) -> None:
    """Raise DamagedError where the content is not of the file's size."""
    if task.wanted.is_file and total_length(task.content) != task.wanted.size:
        raise DamagedError("its content is not as long as the file")
