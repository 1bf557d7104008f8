"""The live display of a job on a terminal: one line of figures, and what is being done."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from snapfs.cli import render
from snapfs.jobs.progress import Progress
from snapfs.model.sizes import format_size

_PERIOD = 0.1
"seconds between two looks at the counters"
_BAR = 24
"cells of the bar"


@asynccontextmanager
async def displayed(progress: Progress, *, quiet: bool) -> AsyncIterator[None]:
    """Show the counters on standard error while the block runs, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_display, progress)
        yield
        nursery.cancel_scope.cancel()


def lines(progress: Progress, seconds: float, width: int) -> str:
    """The display's two lines, each at most `width` cells wide."""
    words = [progress.doing or "starting", _files(progress), _bytes(progress)]
    if seconds >= 1 and progress.bytes:
        words.append(f"{format_size(int(progress.bytes / seconds))}/s")
    if progress.stored_bytes:
        words.append(f"stored {format_size(progress.stored_bytes)}")
    if progress.findings:
        words.append(render.plural(progress.findings, "finding"))
    bar = _bar(progress)
    return f"{_cut(bar + ' · '.join(words), width)}\n{_cut(render.shown(progress.current), width)}"


async def _display(progress: Progress) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    began = trio.current_time()
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
        while True:
            text = lines(progress, trio.current_time() - began, console.width)
            live.update(Text(text, no_wrap=True, overflow="crop"), refresh=True)
            await trio.sleep(_PERIOD)


def _files(progress: Progress) -> str:
    if progress.total_files:
        return f"{progress.files:,} of {render.plural(progress.total_files, 'file')}"
    return render.plural(progress.files, "file")


def _bytes(progress: Progress) -> str:
    done = format_size(progress.bytes)
    return f"{done} of {format_size(progress.total_bytes)}" if progress.total_bytes else done


def _bar(progress: Progress) -> str:
    if not progress.total_bytes:
        return ""
    share = min(progress.bytes / progress.total_bytes, 1.0)
    full = int(share * _BAR)
    return f"{'█' * full}{'░' * (_BAR - full)} {share:4.0%} "


def _cut(text: str, width: int) -> str:
    """The text, or as much of its end as fits: of a path that is what tells most."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
