"""What the command line says when something fails, and its exit codes."""

from __future__ import annotations

import errno
import os
import sys

from mammofill.ground.errors import MammofillError
from mammofill.ground.stopping import StoppedError

SYSTEM_REFUSED = 8
SERIOUS_FOUND = 9
STOPPED = 130

_NO_MEMORY = (
    "can't allocate memory",  # torch on a CPU
    "OutOfMemoryError",  # torch on a GPU (torch.OutOfMemoryError)
    "Insufficient memory",  # OpenCV
    "failed to map segment from shared object",  # the system, when a library is loaded
)


def explained(error: BaseException) -> tuple[str, int]:
    """Return the message for an error and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        code = error.exit_code if isinstance(error, StoppedError) else STOPPED
        return "stopped; run the same command again to go on", code
    if isinstance(error, MammofillError):
        return f"error: {error}", error.exit_code
    if isinstance(error, BrokenPipeError):  # whoever read along, `head` for example, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "stopped: the output is no longer read", STOPPED
    if isinstance(error, OSError) and error.errno is None and isinstance(error.__cause__, OSError):
        return explained(error.__cause__)  # pydicom raises a new one with a traceback in its words
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        return (
            f"error: the disk is full{where}. The work done so far is kept: make room and run the same command again, "
            "it goes on where it stopped.",
            SYSTEM_REFUSED,
        )
    if _is_out_of_memory(error):
        return (
            "error: the memory was not enough. The work done so far is kept: use fewer workers, or smaller batches "
            "(engine.at_once in a training), and run the same command again.",
            SYSTEM_REFUSED,
        )
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return (
            f"error: the system refused ({error.strerror or error}{where}). Put that right and run the same command "
            "again; the work done so far is kept.",
            SYSTEM_REFUSED,
        )
    return f"error: {type(error).__name__}: {error}\nThis should not happen. Run with --debug to see where.", 1


def _is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory was asked for that is not there; libraries have errors of their own for that."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    message = f"{type(error).__name__} {error}"
    if "Operation not permitted" in message:  # of a library on a disk from which nothing may be run
        return False
    return any(words in message for words in _NO_MEMORY)
