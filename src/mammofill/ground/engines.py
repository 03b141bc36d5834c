"""Where independent jobs are done: in this process, in processes beside it, on a Slurm cluster, or on a Dask cluster.

A stage cuts its work into jobs whose results are files that are moved into place when they are whole; a job whose file
is there has nothing left to do. So every engine is a loop over jobs, and what comes out does not depend on which one
did them. The engines beyond one machine are those of `submitit` and `dask.distributed`; here they are only handed the
jobs. They need a folder that all machines see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mammofill.ground.errors import MammofillError, SettingsError, check_setting
from mammofill.ground.processes import in_processes, one_thread

Job = TypeVar("Job")

ENGINES = ("processes", "slurm", "submitit-local", "dask")
"""By name; options may follow a colon, as in ``slurm:timeout_min=120,slurm_partition=cpu``."""

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
    work: Callable[[Job], None], jobs: Sequence[Job], workers: int = 0, engine: str = "processes", *, logs: Path
) -> Iterator[tuple[Job, bool]]:
    """Do jobs, side by side where asked to.

    Args:
        work: does one job, and does nothing where its result is already there; it and the jobs can be pickled. A
            `MammofillError` that it raises is raised here.
        jobs: what there is to do.
        workers: how many are done at a time; 0 does them in this process, one after the other.
        engine: processes on this machine; slurm, by submitit, with its parameters as options (the jobs are dealt out
            to `workers` cluster jobs); submitit-local, the same on this machine; dask, with the scheduler's address as
            option, or a cluster of `workers` processes on this machine without one.
        logs: folder for what an engine writes of its own; visible to all machines.

    Yields:
        Each job when it is over, in any order, and whether it was done: False if its process died twice (by dask's own
        count, four times).

    Raises:
        SettingsError: the engine's library is not installed.
    """
    name, options = _parted(engine)
    if name == "processes":
        yield from in_processes(work, jobs, workers) if workers else _here(work, jobs)
    elif name == "dask":
        yield from _in_dask(work, jobs, workers, options)
    else:
        yield from _in_submitit(work, jobs, workers, "slurm" if name == "slurm" else "local", options, logs)


def _parted(engine: str) -> tuple[str, str]:
    name, _, options = engine.partition(":")
    return name, options


def _here(work: Callable[[Job], None], jobs: Sequence[Job]) -> Iterator[tuple[Job, bool]]:
    for job in jobs:
        work(job)
        yield job, True


# ---- submitit -----------------------------------------------------------------------------------------------------


def _in_submitit(
    work: Callable[[Job], None], jobs: Sequence[Job], workers: int, cluster: str, options: str, logs: Path
) -> Iterator[tuple[Job, bool]]:
    hands = [list(jobs[first::workers]) for first in range(min(workers, len(jobs)))]
    lost: list[Job] = []
    for hand, done in _submitted(work, hands, cluster, options, logs):
        if done:
            yield from ((job, True) for job in hand)
        else:
            lost.extend(hand)
    # Of a cluster job that died, most jobs are done and return at once. Each of the others gets one of its own.
    for first in range(0, len(lost), workers):
        for hand, done in _submitted(work, [[job] for job in lost[first : first + workers]], cluster, options, logs):
            yield hand[0], done


def _submitted(
    work: Callable[[Job], None], hands: Sequence[list[Job]], cluster: str, options: str, logs: Path
) -> Iterator[tuple[list[Job], bool]]:
    """Submit one cluster job for each hand of jobs; yield the hands as they end, and whether they did."""
    if not hands:
        return
    try:
        import submitit
    except ImportError as error:
        raise SettingsError('The engine slurm needs submitit: pip install "mammofill[slurm]".') from error
    executor = submitit.AutoExecutor(folder=logs / "submitit", cluster=cluster)
    executor.update_parameters(**{"timeout_min": _DEFAULT_MINUTES, **_as_parameters(options)})
    waiting = list(zip(executor.map_array(_Hand(work), hands), hands, strict=True))
    try:
        while waiting:
            over = [(job, hand) for job, hand in waiting if job.done()]
            for job, hand in over:
                waiting.remove((job, hand))
                yield hand, _ended_well(job)
            if not over:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        for job, _ in waiting:
            job.cancel()


class _Hand:
    """The jobs of one cluster job, done one after the other."""

    def __init__(self, work: Callable[[Any], None]) -> None:
        self._work = work

    def __call__(self, jobs: Sequence[Any]) -> MammofillError | None:
        one_thread()
        try:
            for job in jobs:
                self._work(job)
        except MammofillError as error:
            return error  # a cluster hands on results as they are, but errors only as text
        return None


def _ended_well(job: Any) -> bool:
    import submitit

    try:
        error = job.result()
    except submitit.core.utils.UncompletedJobError:
        return False
    except submitit.core.utils.FailedJobError as failure:
        raise RuntimeError(f"A cluster job failed: {failure}") from failure
    if error is not None:
        raise error
    return True


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
) -> Iterator[tuple[Job, bool]]:
    try:
        from dask.distributed import Client, KilledWorker, LocalCluster, as_completed
    except ImportError as error:
        raise SettingsError('The engine dask needs dask.distributed: pip install "mammofill[dask]".') from error
    cluster = None if address else LocalCluster(workers, threads_per_worker=1, dashboard_address=None)
    try:
        with Client(address or cluster) as client:
            suspects = []
            waiting = {client.submit(_in_one_thread, work, job, pure=False): job for job in jobs}
            for future in as_completed(list(waiting)):
                job = waiting.pop(future)
                if _lived(future, KilledWorker):
                    yield job, True
                else:  # it took its workers down, or waited at workers that another job took down
                    suspects.append(job)
            for job in suspects:
                yield job, _lived(client.submit(_in_one_thread, work, job, pure=False), KilledWorker)
    finally:
        if cluster is not None:
            cluster.close()


def _lived(future: Any, killed: type[Exception]) -> bool:
    """Wait for a job of dask's; say whether its workers lived, and raise here what it raised."""
    failure = future.exception()
    if failure is not None and not isinstance(failure, killed):
        raise failure
    future.release()
    return failure is None


def _in_one_thread(work: Callable[[Job], None], job: Job) -> None:
    one_thread()
    work(job)
