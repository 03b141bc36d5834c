"""Where independent jobs are done: in this process, in processes beside it, on a Slurm cluster, or on a Dask cluster.

A stage cuts its work into jobs whose results are files that are moved into place when they are whole; a job whose file
is there has nothing left to do. So every engine is a loop over jobs, and what comes out does not depend on which one
did them. The engines beyond one machine are those of `submitit` and `dask.distributed`; here they are only given the
jobs. They need a folder that all machines see.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mammofill.ground.errors import MammofillError, SettingsError, check_setting
from mammofill.ground.processes import (
    DONE,
    Child,
    ChildDiedError,
    Limits,
    Outcome,
    in_processes,
    one_thread,
)
from mammofill.ground.slurm_queue import SlurmQueue

Job = TypeVar("Job")

ENGINES = ("processes", "slurm", "submitit-local", "dask")
"""By name; options may follow a colon, as in ``slurm:timeout_min=120,slurm_partition=cpu``."""

_DIED_TWICE = Outcome("died twice")
_SECONDS_BETWEEN_LOOKS = 0.5
_DEFAULT_MINUTES = 24 * 60


def check_engine(settings: object) -> None:
    """Refuse an unknown `engine`, or fewer `workers` than it needs, naming the field.

    Raises:
        SettingsError: names the field, the rule and the value.
    """
    name = _parted(getattr(settings, "engine"))[0]  # noqa: B009
    workers = getattr(settings, "workers")  # noqa: B009
    check_setting(settings, "engine", name in ENGINES, f"one of {', '.join(ENGINES)}, options after a colon")
    check_setting(settings, "workers", workers >= 0, "at least 0")
    needed = name == "processes" or workers >= 1
    check_setting(settings, "workers", needed, f"at least 1 with the engine {name}")


def work_through(
    work: Callable[[Job], None],
    jobs: Sequence[Job],
    workers: int = 0,
    engine: str = "processes",
    *,
    logs: Path,
    limits: Limits | None = None,
    method: str | None = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Do jobs, side by side where asked to.

    Args:
        work: does one job, and does nothing where its result is already there; it and the jobs can be pickled. A
            `MammofillError` that it raises is raised here.
        jobs: what there is to do.
        workers: how many are done at a time; 0 does them in this process, one after the other, or with `limits` in one
            beside it.
        engine: processes on this machine; slurm, by submitit, with its parameters as options (the jobs are dealt out
            to `workers` cluster jobs); submitit-local, the same on this machine; dask, with the scheduler's address as
            option, or a cluster of `workers` processes on this machine without one.
        logs: folder for what an engine writes of its own; visible to all machines.
        limits: for jobs that read what others wrote: with any engine they are done in processes that may die, kept to
            this time and memory.
        method: how processes on this machine are begun: fork, spawn or forkserver; None for the system's own way.

    Yields:
        Each job when it is over, in any order, and how it ended: not well if its process died twice (by dask's own
        count, four times), or used up its limits.

    Raises:
        SettingsError: the engine's library is not installed.
    """
    name, options = _parted(engine)
    if name == "processes":
        apart = workers or limits is not None
        at_once = max(workers, 1)
        yield from in_processes(work, jobs, at_once, limits or Limits(), method) if apart else _here(work, jobs)
        return
    if limits is not None:
        work = _Apart(work, limits)
    if name == "dask":
        yield from _in_dask(work, jobs, workers, options)
    else:
        yield from _in_submitit(work, jobs, workers, "slurm" if name == "slurm" else "local", options, logs)


def _parted(engine: str) -> tuple[str, str]:
    name, _, options = engine.partition(":")
    return name, options


def _here(work: Callable[[Job], None], jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
    for job in jobs:
        work(job)
        yield job, DONE


class _LostError(Exception):
    """A job whose process, started by a cluster's worker, died or exceeded its limits."""


class _Apart:
    """Work that is done in a separate process, started by the one that is called."""

    _children: ClassVar[dict[int, Child]] = {}
    """The child of each process, by process number; copies made by a fork are not used."""

    def __init__(self, work: Callable[[Any], None], limits: Limits) -> None:
        self._work = work
        self._limits = limits

    def __call__(self, job: Any) -> None:
        # A worker of a cluster has threads, and a process that is forked off then may wait for them for ever.
        child = self._children.setdefault(os.getpid(), Child(self._limits, "spawn"))
        for again in (True, False):
            try:
                child.ask(self._work, job)
                return
            except ChildDiedError as death:
                if not (again and death.again):
                    raise _LostError(death.why) from death


# ---- submitit -----------------------------------------------------------------------------------------------------


def _in_submitit(
    work: Callable[[Job], None], jobs: Sequence[Job], workers: int, cluster: str, options: str, logs: Path
) -> Iterator[tuple[Job, Outcome]]:
    hands = [list(jobs[first::workers]) for first in range(min(workers, len(jobs)))]
    lost: list[Job] = []
    for hand, given_up in _submitted(work, hands, cluster, options, logs):
        if given_up is None:
            lost.extend(hand)
        else:
            yield from ((job, Outcome(given_up.get(number, ""))) for number, job in enumerate(hand))
    # Of a cluster job that died, most jobs are done and return at once. Each of the others gets one of its own.
    for first in range(0, len(lost), workers):
        for hand, given_up in _submitted(
            work, [[job] for job in lost[first : first + workers]], cluster, options, logs
        ):
            yield hand[0], _DIED_TWICE if given_up is None else Outcome(given_up.get(0, ""))


def _submitted(
    work: Callable[[Job], None], hands: Sequence[list[Job]], cluster: str, options: str, logs: Path
) -> Iterator[tuple[list[Job], dict[int, str] | None]]:
    """Submit one cluster job for each group of jobs (a hand); yield these as they end, with the result of `_ended`."""
    if not hands:
        return
    try:
        import submitit
    except ImportError as error:
        raise SettingsError('The engine slurm needs submitit: pip install "mammofill[slurm]".') from error
    executor = submitit.AutoExecutor(folder=logs / "submitit", cluster=cluster)
    executor.update_parameters(**{"timeout_min": _DEFAULT_MINUTES, **_as_parameters(options)})
    waiting: list[tuple[Any, list[Job]]] = []
    try:
        # Slurm takes all at once, as an array. On this machine each begins when it is submitted, and must be cancelled
        # if the next one cannot be.
        for together in [hands] if cluster == "slurm" else [[hand] for hand in hands]:
            waiting += zip(executor.map_array(_Hand(work), together), together, strict=True)
        if cluster == "slurm":
            queue: Any = SlurmQueue()
            for job, _ in waiting:
                job.watcher = queue
        while waiting:
            over = [(job, hand) for job, hand in waiting if job.done()]
            for job, hand in over:
                waiting.remove((job, hand))
                yield hand, _ended(job)
            if not over:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        for job, _ in waiting:
            job.cancel(check=False)


class _Hand:
    """The jobs of one cluster job, done one after the other."""

    def __init__(self, work: Callable[[Any], None]) -> None:
        self._work = work

    def __call__(self, jobs: Sequence[Any]) -> MammofillError | dict[int, str]:
        """Return why jobs were given up, by their place; or an error, which a cluster would pass on only as text."""
        one_thread()
        given_up: dict[int, str] = {}
        for number, job in enumerate(jobs):
            try:
                self._work(job)
            except _LostError as error:
                given_up[number] = str(error)
            except MammofillError as error:
                return error
        return given_up

    def checkpoint(self, jobs: Sequence[Any]) -> Any:
        """Requeue a cluster job whose time is nearly over; finished jobs are kept. Called by submitit."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, jobs)


def _ended(job: Any) -> dict[int, str] | None:
    """Return why jobs of a hand were given up, by their place; None if the cluster job died."""
    import submitit

    if not job.paths.result_pickle.exists():
        return None
    try:
        result = job.result()
    except submitit.core.utils.FailedJobError as failure:
        if submitit.core.utils.UncompletedJobError.__name__ in str(failure):  # its time was over
            return None
        raise RuntimeError(f"A cluster job failed: {failure}") from failure
    if isinstance(result, MammofillError):
        raise result
    return dict(result)


def _as_parameters(options: str) -> dict[str, Any]:
    """Turn ``timeout_min=120,slurm_partition=cpu`` into submitit's parameters."""
    found: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        name, equals, value = option.partition("=")
        if not equals:
            raise SettingsError(f"engine has the option {option!r}; options are name=value, separated by commas.")
        found[name.strip()] = int(value) if value.strip().isdecimal() else value.strip()
    return found


# ---- dask ---------------------------------------------------------------------------------------------------------


def _in_dask(
    work: Callable[[Job], None], jobs: Sequence[Job], workers: int, address: str
) -> Iterator[tuple[Job, Outcome]]:
    try:
        from dask.distributed import Client, KilledWorker, LocalCluster, as_completed
    except ImportError as error:
        raise SettingsError('The engine dask needs dask.distributed: pip install "mammofill[dask]".') from error
    # Its server of pages wants a port even where it has none to show; a free one, not always the same.
    cluster = None if address else LocalCluster(workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    try:
        with Client(address or cluster) as client:
            suspects = []
            waiting = {client.submit(_in_one_thread, work, job, pure=False): job for job in jobs}
            for future in as_completed(list(waiting)):
                job = waiting.pop(future)
                outcome = _lived(future, KilledWorker)
                if outcome is _DIED_TWICE:  # it killed its workers, or waited for workers that another job killed
                    suspects.append(job)
                else:
                    yield job, outcome
            for job in suspects:
                yield job, _lived(client.submit(_in_one_thread, work, job, pure=False), KilledWorker)
    finally:
        if cluster is not None:
            cluster.close()


def _lived(future: Any, killed: type[Exception]) -> Outcome:
    """Wait for a job of dask's; say how it ended, and raise here what it raised."""
    failure = future.exception()
    if failure is not None and not isinstance(failure, killed | _LostError):
        raise failure
    future.release()
    if isinstance(failure, _LostError):
        return Outcome(str(failure))
    return DONE if failure is None else _DIED_TWICE


def _in_one_thread(work: Callable[[Job], None], job: Job) -> None:
    one_thread()
    work(job)
