"""How a stage reports while it works: tasks that advance, and lines of text.

A stage gets one `Progress` and knows no more. The command line gives it a bar on a terminal and plain lines in a log;
tests collect a list.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mammofill.ground.errors import ArtifactError
from mammofill.ground.file_names import why_no_file

logger = logging.getLogger("mammofill")


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and end of line; marks that turn the direction of writing; halves of characters."""

_LONGEST_LINE = 10_000
"""Letters; no message of ours has more of its own."""


def printable(text: str) -> str:
    """Return a text as a terminal may show it.

    Tables, names and manifests of others may contain control sequences, and cells of megabytes: of a line without end
    the middle is left out.
    """
    seen = _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
    return "\n".join(map(_with_an_end, seen.split("\n")))


def _with_an_end(line: str) -> str:
    lost = len(line) - _LONGEST_LINE
    half = _LONGEST_LINE // 2
    return f"{line[:half]} [{lost:,} letters left out] {line[-half:]}" if lost > 0 else line


def show(text: str) -> None:
    """Print a result to standard output, as a terminal may show it."""
    print(printable(text))


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, steps: float = 1, note: str = "") -> None:
        """Report that `steps` more are done; `note` is a short state such as the current loss."""


class Progress:
    """Reports nothing. The other kinds of progress override `begin`, `end` and `say`."""

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        """Open a task of `total` steps; it closes when the block ends, in success or failure."""
        task = self._begin(name, total)
        try:
            yield task
        finally:
            self._end(task)

    def say(self, text: str) -> None:
        """Say one line."""

    def _begin(self, name: str, total: float) -> Task:
        return _QuietTask()

    def _end(self, task: Task) -> None:
        pass


class _QuietTask:
    def advance(self, steps: float = 1, note: str = "") -> None:
        pass


class LineProgress(Progress):
    """Plain lines for a log: each task at its start, its end, and at most every `seconds_between` in between."""

    def __init__(self, seconds_between: float = 20.0) -> None:
        self.seconds_between = seconds_between

    def say(self, text: str) -> None:
        """Print one line to standard error."""
        print(printable(text), file=sys.stderr, flush=True)

    def _begin(self, name: str, total: float) -> Task:
        return _LineTask(self, name, total)

    def _end(self, task: Task) -> None:
        assert isinstance(task, _LineTask)
        if not task.end_is_reported:
            self.say(f"{task.name}: {task.summary()}")


class _LineTask:
    def __init__(self, progress: LineProgress, name: str, total: float) -> None:
        self.progress, self.name, self.total = progress, name, total
        self.done, self.note = 0.0, ""
        self.end_is_reported = False
        self.began = self.spoke = time.monotonic()

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.done = min(self.done + steps, self.total)  # the last batch is whole, also where less of it was left
        self.note = note or self.note
        now = time.monotonic()
        if now - self.spoke >= self.progress.seconds_between:
            self.spoke = now
            self.end_is_reported = self.done >= self.total
            self.progress.say(f"{self.name}: {self.summary()}")

    def summary(self) -> str:
        seconds = time.monotonic() - self.began
        note = f"  {self.note}" if self.note else ""
        left = seconds / self.done * (self.total - self.done) if self.done else 0.0
        rest = f", about {in_words(left)} left" if 0 < self.done < self.total else ""
        return f"{self.done:g}/{self.total:g} in {in_words(seconds)}{rest}{note}"


class KeptProgress(Progress):
    """Reports through another progress, and also writes each line with its time to a file."""

    def __init__(self, spoken: Progress, path: Path) -> None:
        """Add to the file, which is made where it is not there.

        Args:
            spoken: the progress that reports.
            path: the file; its folder must exist.

        Raises:
            ArtifactError: it is a named pipe, at which writing might wait for ever.
        """
        if path.is_fifo():
            raise ArtifactError(f"{path} {why_no_file(path)}, and cannot be used as a log. Move it away.")
        self.spoken, self.path = spoken, path

    def say(self, text: str) -> None:
        """Report one line, and write it to the file."""
        self.spoken.say(text)
        self.keep(text)

    def keep(self, text: str) -> None:
        """Write a line to the file without reporting it."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {printable(text)}\n")

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        """Open a task of the other one, and keep when it began and ended."""
        self.keep(f"{name}: {total:g} to do")
        with self.spoken.task(name, total) as task:
            yield task
        self.keep(f"{name}: done")


class BarProgress(Progress):
    """A live bar for a terminal, drawn by rich on standard error."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(printable(text), markup=False, highlight=False)

    def _begin(self, name: str, total: float) -> Task:
        return _BarTask(self._console, name, total)

    def _end(self, task: Task) -> None:
        assert isinstance(task, _BarTask)
        task.bar.stop()


class _BarTask:
    def __init__(self, console: object, name: str, total: float) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,  # type: ignore[arg-type]
        )
        self.row = self.bar.add_task(printable(name), total=total, note="")
        self.bar.start()

    def advance(self, steps: float = 1, note: str = "") -> None:
        if note:
            self.bar.update(self.row, note=printable(note))
        left = self.bar.tasks[0].remaining  # the last batch is whole, also where less of it was left
        self.bar.advance(self.row, steps if left is None else min(steps, left))


def in_words(seconds: float) -> str:
    """Return a duration in words."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


quiet = Progress()
"""The progress that reports nothing: the default of every stage."""


def for_this_console() -> Progress:
    """Return a bar where standard error is a terminal, nothing where it is closed, plain lines elsewhere."""
    if sys.stderr is None:
        return quiet
    return BarProgress() if sys.stderr.isatty() else LineProgress()
