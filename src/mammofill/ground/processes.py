"""Work in separate processes, of which one may crash on a damaged file without ending the others.

Decoders written in C and Rust can crash, hang or ask for all memory over a damaged file. So all code that reads files
of others runs in a `Child`: a process that does one task after the other, within limits of time and memory, and is
started again when it dies. `in_processes` distributes jobs over several of them.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.util import Finalize
from typing import Any, Generic, Self, TypeVar

import cv2

from mammofill.ground.stopping import StoppedError
from mammofill.ground.training.memory import freed_memory_kept

Job = TypeVar("Job")

_SECONDS_TO_END = 5.0
"""How long a child that has nothing more to do may take to end."""


RUN_AGAIN = (
    "If a script called it: each process that Python starts anew runs the script again, so put what the script does "
    'under if __name__ == "__main__":.'
)
"""What is nearly always the cause where a process ends before it could begin."""


@dataclass(frozen=True)
class Limits:
    """What a child may use.

    Attributes:
        seconds: for one job; None for no limit.
        memory_gb: address space that it may take beyond what it was born with, in GB of 10**9 bytes; None for no limit.
            Systems without such limits (Windows; macOS does not keep to them) know none.
        silent: whether the output of libraries is discarded: decoders print about every damaged file.
        memory_kept: whether memory that one job frees is kept for the next one. Whole films are read, resampled and
            freed in each job, and a fifth of the time went into pages that the system filled with zeros again.
    """

    seconds: float | None = None
    memory_gb: float | None = None
    silent: bool = False
    memory_kept: bool = False


class ChildDiedError(Exception):
    """A child did not finish a job.

    Attributes:
        why: in words that follow "it": "was ended by SIGABRT", "took longer than 300 s", ...
        again: whether a second try may end better.
        began: whether it had come so far that the job could begin.
    """

    def __init__(self, why: str, again: bool = True, began: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.again = again
        self.began = began


@dataclass(frozen=True)
class Outcome:
    """How a job ended; true if it was done."""

    why_lost: str = ""
    """Why it was given up, in words that follow "the process"; "" if it was done."""

    def __bool__(self) -> bool:
        return not self.why_lost


DONE = Outcome()


class Child:
    """A process that does one task after the other; started when it is first needed."""

    def __init__(self, limits: Limits = Limits(), method: str | None = None) -> None:
        self._limits = limits
        self._context: Any = multiprocessing.get_context(method)
        self._process: Any = None
        self._connection: Connection[Any, Any] | None = None
        self._ending: Finalize | None = None
        self._asked_at = 0.0
        self._getting_ready = False
        self._was_ready = False
        self._answers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function there and wait for its result.

        Args:
            function: it, what it takes and what it returns can be pickled.
            arguments: what it takes.

        Raises:
            ChildDiedError: the process died, or had to be stopped. The next call begins another one.
        """
        self.begin(function, *arguments)
        return self.answer_awaited()

    def begin(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function there without waiting; `answer` must be called before anything else is begun."""
        for last_try in (False, True):
            connection = self._running()
            try:
                if self._getting_ready:
                    connection.send((_get_ready, (function,)))
                connection.send((function, arguments))
                break
            except OSError:  # it died of what it did before, after it had answered
                self.kill()
                if last_try:
                    raise
        self._asked_at = time.monotonic()

    def answer(self) -> Any:
        """Return what the function returned; raises what it raised.

        Raises:
            ChildDiedError: the process died, or its time is over.
        """
        connection = self._running()
        if not connection.poll():
            if self._process.is_alive() and not (left := self.seconds_left()) and left is not None:
                self.kill()
                raise ChildDiedError(f"took longer than {self._limits.seconds:g} s", again=False)
            raise self._died()
        try:
            done, value, trace = connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            raise self._died() from None
        self._answers += 1
        if done:
            return value
        if isinstance(value, MemoryError):
            used = self._answers > 1  # what it did before may have left too little
            self.kill()
            raise ChildDiedError(f"needs more than {self._limits.memory_gb or 0:g} GB of memory", again=used)
        raise value from (_ThereError(trace) if trace else None)

    def answer_awaited(self) -> Any:
        """Wait until what was begun is over, and do as `answer` does."""
        while not self.is_over():
            wait_for_any(self.signs(), self.seconds_left())
        return self.answer()

    def is_over(self) -> bool:
        """Say whether there is an answer, the process is gone, or its time is over."""
        there = self._connection is not None and self._connection.poll()
        if there and self._getting_ready and self._connection is not None:
            with suppress(EOFError, OSError):
                self._connection.recv()  # only now its time begins: a new process has to load libraries first
                self._was_ready = True
            self._getting_ready, self._asked_at = False, time.monotonic()
            return self.is_over()
        return there or not self._process.is_alive() or self.seconds_left() == 0

    def signs(self) -> list[Any]:
        """Return what to wait for: one of these is ready when there is an answer, or the process is gone."""
        return [self._running(), self._process.sentinel]

    def seconds_left(self) -> float | None:
        """Return how long the present job may still take; None for no limit."""
        if self._limits.seconds is None or self._getting_ready:
            return None
        return max(0.0, self._asked_at + self._limits.seconds - time.monotonic())

    def close(self) -> None:
        """Let the process end."""
        if self._process is None:
            return
        if self._connection is not None:
            with suppress(OSError):
                self._connection.send(None)
        self._process.join(_SECONDS_TO_END)
        self.kill()

    def ask_to_stop(self) -> None:
        """Have the process end as soon as it has kept what it would lose: at once, or at the end of a training step."""
        with suppress(ValueError, AttributeError):  # gone already
            self._process.terminate()

    def wait_for_end(self) -> None:
        """Wait until it has ended."""
        if self._process is not None:
            self._process.join()

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if self._ending is not None:
            self._ending.cancel()
        if connection is not None:
            connection.close()
        if process is not None:
            if process.is_alive():
                process.kill()
            process.join()
            process.close()

    def _running(self) -> Connection[Any, Any]:
        if self._connection is None:
            ours, theirs = self._context.Pipe()
            with _one_thread_to_inherit(), _may_have_children():
                self._process = self._context.Process(target=_serve, args=(theirs, ours, self._limits))
                self._process.start()
            theirs.close()
            self._connection, self._answers = ours, 0
            self._getting_ready, self._was_ready = True, False
            # When this process ends, it waits for its children: they must have been asked to end by then.
            self._ending = Finalize(self, _end, (self._process, ours), exitpriority=10)
        return self._connection

    def _died(self) -> ChildDiedError:
        self._process.join(_SECONDS_TO_END)
        code = self._process.exitcode
        self.kill()
        if code is not None and code < 0:
            with suppress(ValueError):
                return ChildDiedError(f"was ended by {signal.Signals(-code).name}")
        if not self._was_ready:
            return ChildDiedError(f"ended with code {code} before it could begin", began=False)
        return ChildDiedError(f"ended with code {code}")


class _ThereError(Exception):
    """Where in a child an error came from: shown by --debug."""


def _end(process: Any, connection: Connection[Any, Any]) -> None:
    connection.close()
    with suppress(ValueError, AssertionError):  # closed already, or a child of another process
        process.kill()


def in_processes(
    work: Callable[[Job], None],
    jobs: Sequence[Job],
    workers: int,
    limits: Limits = Limits(),
    method: str | None = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Do jobs in worker processes.

    A job over which its process died is tried once more, in a new one; if that dies as well, it is given up, and all
    the others go on. One that takes longer than it may is not tried again.

    Args:
        work: does one job; it and the jobs can be pickled. What it raises is raised here.
        jobs: what there is to do.
        workers: processes at a time, at least 1.
        limits: what each may use.
        method: how they are begun: fork, spawn or forkserver; None for the system's own way.

    Yields:
        Each job when it is over, in any order, and how it ended.
    """
    waiting = deque(_Task(job) for job in jobs)
    children = [Child(limits, method) for _ in range(min(max(workers, 1), len(waiting)))]
    busy: dict[Child, _Task[Job]] = {}
    try:
        for child in children:
            busy[child] = waiting.popleft()
            child.begin(work, busy[child].job)
        while busy:
            for child in _ready(busy):
                task = busy.pop(child)
                outcome = _outcome(child, task)
                if outcome is None:
                    waiting.appendleft(task)
                if waiting:  # before the last outcome is yielded, so that no child waits for the caller
                    busy[child] = waiting.popleft()
                    child.begin(work, busy[child].job)
                if outcome is not None:
                    yield task.job, outcome
    finally:
        _let_stop(children, busy)


def _let_stop(children: Sequence[Child], busy: Container[Child]) -> None:
    """End children: those that are at work (somebody pressed Ctrl-C, or a job failed) may keep it first.

    A second Ctrl-C ends them at once.
    """
    try:
        at_work = [child for child in children if child in busy]
        for child in at_work:
            child.ask_to_stop()
        for child in at_work:
            child.wait_for_end()
    finally:
        for child in children:
            child.kill() if child in busy else child.close()


@dataclass
class _Task(Generic[Job]):
    job: Job
    tries: int = 0


def _ready(busy: dict[Child, Any]) -> list[Child]:
    """Wait until some children have answered, died, or used up their time; return those."""
    left = [seconds for child in busy if (seconds := child.seconds_left()) is not None]
    signs = [sign for child in busy for sign in child.signs()]
    wait_for_any(signs, min(left, default=None))
    return [child for child in busy if child.is_over()]


def _outcome(child: Child, task: _Task[Any]) -> Outcome | None:
    """Return how a job ended; None if it should be tried again."""
    task.tries += 1
    try:
        child.answer()
    except ChildDiedError as death:
        if death.again and task.tries == 1:
            return None
        return Outcome(death.why + (" twice" if death.again else ""))
    return DONE


# ---- inside a child -----------------------------------------------------------------------------------------------


def _serve(connection: Connection[Any, Any], parents_end: Connection[Any, Any], limits: Limits) -> None:
    with suppress(OSError):
        parents_end.close()  # a copy, where processes are forked
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its children by SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    one_thread()
    end_with_parent()
    if limits.silent:
        _be_silent()
    if limits.memory_gb is not None:
        _keep_to_memory(limits.memory_gb)
    with freed_memory_kept("cpu") if limits.memory_kept else nullcontext():
        _answer_all(connection)


def _answer_all(connection: Connection[Any, Any]) -> None:
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        if task is None:  # the request to end: a closed pipe goes unnoticed where other processes inherited its end
            return
        function, arguments = task
        answer = _called(function, arguments)
        try:
            connection.send(answer)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            connection.send((False, RuntimeError(f"What was returned cannot be passed on: {error}"), ""))


def _get_ready(function: Callable[..., Any]) -> None:
    """Do nothing: unpickling the function has already imported what it needs."""


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any, str]:
    try:
        return True, function(*arguments), ""
    except MemoryError:
        return False, MemoryError(), ""
    except Exception as error:  # noqa: BLE001  (handed on)
        trace = traceback.format_exc()
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return False, error, trace
        return False, RuntimeError(f"{type(error).__name__}: {error}"), trace
    except StoppedError as stopped:
        sys.exit(stopped.exit_code)  # nobody waits for an answer
    except BaseException as error:  # noqa: BLE001  (a panic of a library written in Rust is no Exception)
        return False, RuntimeError(f"{type(error).__name__}: {error}"), traceback.format_exc()


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _keep_to_memory(gigabytes: float) -> None:
    """Limit the address space; what a forked process was born with (all libraries of its parent) does not count."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as facts:
            born_with = int(facts.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = born_with + int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    except (ImportError, OSError, ValueError):
        return  # a system without such a limit


def end_with_parent() -> None:
    """End this process as soon as the one that began it is gone: where that was killed, it cannot stop its workers."""
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


@contextmanager
def _may_have_children() -> Iterator[None]:
    """Let a process that its cluster calls a daemon have children, which end with it all the same."""
    about: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    before = about.get("daemon")
    about["daemon"] = False
    try:
        yield
    finally:
        if before is not None:
            about["daemon"] = before
        else:
            about.pop("daemon", None)


@contextmanager
def _one_thread_to_inherit() -> Iterator[None]:
    """Keep OpenCV to one thread while a child is forked off: it inherits the setting, but not the threads.

    A child that sets it only after the fork would wait for threads that are not there.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def one_thread() -> None:
    """Keep this process to one thread: the others beside it have the other cores."""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
