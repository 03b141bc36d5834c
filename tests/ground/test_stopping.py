"""Ctrl-C and SIGTERM: noted inside a training, handed on to the processes that train."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from process_group import wait_until_all_are_gone

from mammofill.ground.stopping import StoppedError, sigterm_interrupts, stop_requests


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_obeyed_where_the_loop_says(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with stop_requests() as stop:
        stop.leave()
        assert not stop
        signal.raise_signal(number)
        assert stop
        with pytest.raises(StoppedError) as caught:
            stop.leave()
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_leaves_at_once_but_sigterm_may_come_twice() -> None:
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop
        with pytest.raises(StoppedError):
            signal.raise_signal(signal.SIGINT)


def test_a_user_is_told_that_the_step_is_finished_first(capfd: pytest.CaptureFixture[str]) -> None:
    with stop_requests():
        signal.raise_signal(signal.SIGINT)
    assert "Stopping after this step, to keep a checkpoint. Ctrl-C again leaves at once." in capfd.readouterr().err


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop
    finally:
        signal.signal(signal.SIGINT, before)


def test_beside_the_main_thread_nothing_changes() -> None:
    found = []

    def work() -> None:
        with stop_requests() as stop, sigterm_interrupts():
            found.append((bool(stop), signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]


def test_sigterm_closes_what_is_open() -> None:
    with pytest.raises(StoppedError) as caught, sigterm_interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143


IN_WORKERS = """
import sys, time
from functools import partial
from pathlib import Path
from mammofill.ground.engines import work_through
from mammofill.ground.stopping import stop_requests, sigterm_interrupts, StoppedError

def train(folder, name):
    if name == "short":
        return
    with stop_requests() as stop:
        (folder / f"{name}.began").touch()
        while not stop:
            time.sleep(0.005)
        (folder / f"{name}.kept").touch()
        stop.leave()

if __name__ == "__main__":
    folder, method = Path(sys.argv[1]), sys.argv[2]
    try:
        with sigterm_interrupts():
            list(work_through(partial(train, folder), ["a", "short", "b"], 2, logs=folder, method=method))
    except KeyboardInterrupt as stopped:
        sys.exit(getattr(stopped, "exit_code", 130))
"""


@pytest.mark.parametrize(
    ("number", "code", "all_of_them", "method"),
    [
        (signal.SIGINT, 130, True, "fork"),  # Ctrl-C reaches every process of a terminal
        (signal.SIGTERM, 143, False, "fork"),  # `kill` only the one
        (signal.SIGTERM, 143, True, "spawn"),  # a cluster all of them, and each worker hears it twice
    ],
)
def test_workers_keep_what_they_would_lose(
    tmp_path: Path, number: signal.Signals, code: int, all_of_them: bool, method: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(IN_WORKERS)
    process = subprocess.Popen([sys.executable, script, tmp_path, method], start_new_session=True)
    try:
        while len(list(tmp_path.glob("*.began"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        (os.killpg if all_of_them else os.kill)(process.pid, number)
        assert process.wait() == code
    finally:
        process.kill()
    assert {path.name for path in tmp_path.glob("*.kept")} == {"a.kept", "b.kept"}
    wait_until_all_are_gone(process.pid)
