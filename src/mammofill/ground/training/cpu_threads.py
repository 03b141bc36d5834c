"""Many small jobs on a CPU: each thread does whole ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def each_on_one_thread(work: Callable[[Job], Result], jobs: Iterable[Job], device: torch.device) -> Iterator[Result]:
    """Do jobs of torch side by side, as many as it has threads, with one thread for each.

    The pictures of a job stay in its core's cache, no core waits for another within a job, and results do not depend
    on the number of threads. On CUDA one job follows the other.

    Args:
        work: does one job. What is set for a thread (gradients, autocast) does not hold for it.
        jobs: what there is to do.
        device: where.

    Yields:
        The results, in the order of the jobs.
    """
    cores = torch.get_num_threads()
    if device.type != "cpu" or cores == 1:
        yield from map(work, jobs)
        return
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, jobs)
    finally:
        torch.set_num_threads(cores)  # what a thread sets for itself is the default of those that come later
