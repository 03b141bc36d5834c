"""Working side by side in processes, of which one may die over a bad file without taking the rest with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_any
from typing import TypeVar

import cv2

Job = TypeVar("Job")


def in_processes(work: Callable[[Job], None], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, bool]]:
    """Do jobs in worker processes.

    Decoders written in C can crash on a damaged file, and the system can kill a process that takes too much memory.
    The jobs under way at that moment are then tried again, each in a process of its own; one that dies again is given
    up, and all the others go on.

    Args:
        work: does one job; it and the jobs can be pickled. What it raises is raised here.
        jobs: what there is to do.
        workers: processes at a time, at least 1.

    Yields:
        Each job when it is over, in any order, and whether it was done: False if its process died twice.
    """
    threads = cv2.getNumThreads()
    # A worker begins as a copy of this process, but without its threads: if OpenCV had some here, the copy would wait
    # for them for ever. With one, there are none to wait for.
    one_thread()
    try:
        waiting = deque(jobs)
        while waiting:
            for job in (yield from _until_one_dies(work, waiting, workers)):
                yield job, _survives(work, job)
    finally:
        cv2.setNumThreads(threads)


def _until_one_dies(
    work: Callable[[Job], None], waiting: deque[Job], workers: int
) -> Generator[tuple[Job, bool], None, list[Job]]:
    """Take jobs from `waiting` until none is left or a process dies; return those that were under way then."""
    running: dict[Future[None], Job] = {}
    with _one_thread_to_inherit(), _pool(workers) as pool:
        while waiting or running:
            try:
                # One job more than there are workers lies ready, so that none of them waits for this process.
                while waiting and len(running) <= workers:
                    running[pool.submit(work, waiting[0])] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    yield running.pop(future), True
            except BrokenProcessPool:
                # Nothing was under way if the pool could not even take its first job: that job is the suspect then.
                return list(running.values()) or [waiting.popleft()]
    return []


def _survives(work: Callable[[Job], None], job: Job) -> bool:
    with _one_thread_to_inherit(), _pool(1) as pool:
        try:
            pool.submit(work, job).result()
        except BrokenProcessPool:
            return False
    return True


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_begin_worker)


@contextmanager
def _one_thread_to_inherit() -> Iterator[None]:
    """Keep OpenCV to one thread while workers are forked off: they inherit its setting, but not its threads.

    A worker that is told so only after the fork would wait for threads that are not there.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _begin_worker() -> None:
    if cv2.getNumThreads() != 1:  # where processes are not forked, each begins anew
        cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that began it is gone: killed, it cannot tell its workers to stop."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


def one_thread() -> None:
    """Keep this process to one thread: the others beside it have the other cores."""
    cv2.setNumThreads(1)
