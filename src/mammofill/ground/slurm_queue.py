"""Which jobs are over, by the queue that every Slurm has.

submitit asks Slurm's accounts (``sacct``). Where none are kept, as on many small clusters, it waits for ever for a job
that was killed, and it takes a suspended job for one that is over. `SlurmQueue` stands in for its watcher.
"""

from __future__ import annotations

import os
import subprocess
import time

SECONDS_BETWEEN_LOOKS = 10.0
"""Each query goes to Slurm's controller, which all users of a cluster share."""


class SlurmQueue:
    """The queue, queried at intervals; to be created after the jobs in question were submitted."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._last: set[str] | None = None
        self._one_before: set[str] | None = None

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Return whether a job is over: missing in two queries in a row.

        One query is not enough, since on a shared file system a job's result may appear after its end.

        Args:
            job_id: as submitit has it, ``4`` or, in an array, ``4_1``.
            mode: how submitit wants it looked up; ignored here.
        """
        if time.monotonic() - self._looked_at >= SECONDS_BETWEEN_LOOKS:
            self._look()
        looks = (self._last, self._one_before)
        return all(look is not None and job_id not in look for look in looks)

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """Return in words for submitit's messages where a job is."""
        return "not in the queue" if self.is_done(job_id, mode) else "in the queue"

    def _look(self) -> None:
        """Query the queue; where the controller does not answer, nothing changes."""
        mine = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
        answer = subprocess.run(mine, capture_output=True, text=True, check=False)
        self._looked_at = time.monotonic()
        if answer.returncode == 0:
            self._one_before, self._last = self._last, set(answer.stdout.split())
