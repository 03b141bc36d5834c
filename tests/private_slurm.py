"""A Slurm of one's own on this machine: one node, its own key, ports and folder; nothing of the system's is touched."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
MAY_INSTALL = "MAMMOFILL_TESTS_INSTALL_SLURM"
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
SECONDS = 600.0
"""For anything that takes a second on a machine that has nothing else to do."""


def missing() -> list[str]:
    """Return the programs that are not there; daemons of Debian's are in folders that not everybody's PATH has."""
    return [name for name in PROGRAMS if place_of(name) is None]


def place_of(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/usr/local/sbin")))


def why_not() -> str:
    """Return why there can be no Slurm here, after installing it where that is wanted; "" if there can."""
    if missing() and os.environ.get(MAY_INSTALL) == "1":
        for command in (("update",), ("install", "--yes", "--no-install-recommends", *PACKAGES)):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"apt-get {' '.join(command)} failed: {done.stderr.strip()}"
    if not sys.platform.startswith("linux"):
        return "Slurm is for Linux"
    how = f"apt-get install {' '.join(PACKAGES)}, or {MAY_INSTALL}=1 where that may be done by the tests (as root)"
    return f"not installed: {', '.join(missing())} ({how})" if missing() else ""


def config(folder: Path, user: str, node: str, ports: tuple[int, int], cores: int = 2) -> str:
    """Return a ``slurm.conf``: no cgroups, no accounts, everything in one folder.

    Args:
        folder: for state, sockets and logs; its path is short, since that of a socket may have 107 characters.
        user: as whom the daemons run, and whose jobs alone they can run unless it is root.
        node: the machine's name.
        ports: of the controller, and of the node.
        cores: that may be taken at a time.
    """
    return f"""\
ClusterName=private
SlurmctldHost={node}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=2
NodeName={node} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def private_slurm() -> Iterator[Path]:
    """Have a Slurm for as long as the block lasts; yields its configuration, for SLURM_CONF."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        conf = _prepared(folder)
        os.environ["SLURM_CONF"] = str(conf)
        key, pipe = folder / "munge.key", folder / "munge.socket"
        files = [f"--{name}-file={folder / f'munged.{name}'}" for name in ("pid", "log", "seed")]
        munged = ("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={pipe}", *files)
        node = _node()
        for number, command in enumerate(
            (munged, ("slurmctld", "-D", "-i", "-f", str(conf)), ("slurmd", "-D", "-N", node, "-f", str(conf)))
        ):
            started.append(_begin(command, folder / f"{command[0]}.out"))
            if number == 0:
                wait_until(pipe.exists, "munged to listen", started)
        wait_until(lambda: "idle" in asked("sinfo", "--noheader", "--format=%T"), "the node to be idle", started)
        yield conf
        asked("scancel", f"--user={os.getuid()}")
        wait_until(lambda: not asked("squeue", "--noheader"), "all jobs to be gone", started)
    finally:
        for daemon in reversed(started):
            _end(daemon)
        for process in _born_with(folder):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        os.environ.pop("SLURM_CONF", None)
        shutil.rmtree(folder)


def asked(*command: str) -> str:
    """Return what a program of Slurm's says; nothing while the controller does not answer."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def wait_until(what: Callable[[], object], name: str, alive: list[subprocess.Popen[bytes]] | None = None) -> None:
    until = time.monotonic() + SECONDS
    while not what():
        ended = [daemon.args for daemon in alive or [] if daemon.poll() is not None]
        assert not ended, f"ended while waiting for {name}: {ended}"
        assert time.monotonic() < until, f"waited in vain for {name}"
        time.sleep(0.02)


def _prepared(folder: Path) -> Path:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    conf = folder / "slurm.conf"
    user = pwd.getpwuid(os.getuid()).pw_name
    conf.write_text(config(folder, user, _node(), _free_ports()), encoding="utf-8")
    return conf


def _node() -> str:
    return socket.gethostname().partition(".")[0]


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _begin(command: tuple[str, ...], log: Path) -> subprocess.Popen[bytes]:
    program = place_of(command[0])
    assert program is not None
    with log.open("wb") as said:
        # In a session of its own: Ctrl-C is for the tests, which stop their daemons in order.
        line = [program, *command[1:]]
        return subprocess.Popen(line, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)


def _born_with(folder: Path) -> list[int]:
    """Return the processes that belong to a Slurm: all that were told of its configuration when they were born."""
    told = f"SLURM_CONF={folder / 'slurm.conf'}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if told in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
    return found


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
