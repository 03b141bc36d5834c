"""What is left of a command and of all that it has begun."""

from __future__ import annotations

import subprocess
import time


def alive_in_group(group: int) -> list[str]:
    """Return the processes of a group that are alive, as ``ps`` tells them."""
    told = subprocess.run(["ps", "-eo", "pgid=,stat=,pid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in told.splitlines()]
    return [rest for leader, state, rest in lines if int(leader) == group and not state.startswith("Z")]


def wait_until_all_are_gone(group: int, seconds: float = 60.0) -> None:
    """Wait until nobody of a group is left: those that watch over others need a moment when these are gone."""
    until = time.monotonic() + seconds
    while left := alive_in_group(group):
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.05)
