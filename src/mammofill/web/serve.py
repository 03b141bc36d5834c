"""Starts the studio: a server on loopback, and the browser on its address; command `studio`."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mammofill.ground.errors import SettingsError

LOOPBACK = "127.0.0.1"
_ANY_ADDRESS = ("", "0.0.0.0", "::")


def open_studio(
    folder: Path,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    browser: bool = True,
    name_patients: bool = False,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> None:
    """Serve the studio until it is interrupted.

    Args:
        folder: with the artifacts to show.
        host: address to listen on; any but loopback gives other machines access, over plain HTTP.
        port: to listen on; 0 takes a free one.
        browser: open the page.
        name_patients: show identifiers of patients, patches and mammograms; else patients are numbered.
        device: where fills are painted.
        say: called with lines of text, the first one with the address.

    Raises:
        SettingsError: FastAPI or uvicorn is not installed, the port is taken, or the host is no address.
        SourceError: there is no such folder.
    """
    try:
        import uvicorn

        from mammofill.web.app import create_app
        from mammofill.web.studio import Studio
    except ModuleNotFoundError as error:
        raise SettingsError(f"The studio needs {error.name}. Install it: pip install 'mammofill[web]'") from error
    from mammofill.web.access import Access

    if host in _ANY_ADDRESS:
        raise SettingsError(
            f"--host is {host!r}, which is no name that a browser could ask for. Give the address by which other "
            "machines call this one."
        )
    on_loopback = host in (LOOPBACK, "localhost", "::1")
    studio = Studio(folder, device, name_patients)
    listener = _listen(host, port)
    port = int(listener.getsockname()[1])
    name = f"[{host}]" if ":" in host else host
    access = Access(frozenset(f"{one}:{port}" for one in {name, LOOPBACK, "localhost"}), studio.knows_reader)
    address = f"http://{name}:{port}/?token={access.token}"
    say(f"The studio is open (Ctrl-C closes it): {address}")
    if not on_loopback:
        say("WARNING: other machines can reach it, over plain HTTP: whoever reads along can come in, too.")
    if browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    config = uvicorn.Config(
        create_app(studio, access),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=2,
    )
    with suppress(KeyboardInterrupt):  # the normal way to close it
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # before the address is printed: early requests wait for the server
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Nobody can listen on {host}, port {port} ({error.strerror}). Give another --port."
        ) from error
    return listener
