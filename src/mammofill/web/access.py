"""Access to the studio: who may come in, from where, and with how much.

A page that anybody on the web may open can send requests to loopback, also under a name of its own that it lets point
there (DNS rebinding). So every request must name a host that the studio was opened under, what changes something must
come from the studio's own page, and all but the static files need the token of the opened address, or a reader's code.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 1 << 20
"""Of a request's body: a mask of 2048 px a side, as bits in base64, takes 0.7 MB."""

_VIEWER_STYLE = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
"""The one rule that OpenSeadragon adds to the page: no outline around its canvas where nothing hovers."""
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_VIEWER_STYLE}; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_READ_PATHS = ("/read", "/api/read/")
"""All that a reader may ask for."""

_ENTRANCE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={place}">
<link rel="icon" href="data:,">
<title>mammofill studio</title>
<p><a href="{place}">Go on</a></p>
"""
"""What an address with a token or a code answers.

It goes on by itself, and so as the studio's own page. A redirect would go on in the name of the page that the address
was clicked on, as a mail: browsers keep the cookie back then, and say that the request comes from elsewhere.
"""


@dataclass(frozen=True)
class Access:
    """What must be known, or come from, to be let in."""

    hosts: frozenset[str]
    """Values of the Host header that are the studio's own, each with its port."""
    knows_reader: Callable[[str], bool]
    """Whether a code is a reader's."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """Name of the cookie, with the port, since cookies are shared between the ports of a host."""
        return "mammofill-" + sorted(self.hosts)[0].rpartition(":")[2]


class AccessControl:
    """Lets requests through to the app, or answers them itself."""

    def __init__(self, app: App, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"The studio speaks HTTP alone, not {scope['type']}.")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        entered = self._entrance(scope["path"], given)
        mistaken = scope["path"] == "/read" and "code" in given and entered is None
        refused = self._refused(scope, headers, entered is not None, mistaken)
        if refused is not None:
            await _answer(send, *refused)
        elif entered is not None:
            cookie = f"{entered[1]}; HttpOnly; SameSite=Strict; Path=/"
            page = _ENTRANCE.format(place=entered[0])
            await _answer(send, 200, page, {"content-type": "text/html; charset=utf-8", "set-cookie": cookie})
        else:
            scope["state"] = scope.get("state", {}) | {"reader": self._cookies(headers).get("reader")}
            await self._app(scope, receive, _with_headers(send))

    def _refused(self, scope: Scope, headers: dict[str, str], enters: bool, mistaken: bool) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if host not in self._access.hosts:
            return 421, "This is not the address that the studio was opened under."
        origin = headers.get("origin")
        changes = scope["method"] not in ("GET", "HEAD")
        if (changes or origin is not None) and origin != f"http://{host}":
            return 403, "Requests may come from the studio's own page only."
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not enters:
            return 403, "Requests may come from the studio's own page only."
        if changes:
            # Browsers say no length where they send nothing, as when a painting is cancelled.
            length = headers.get("content-length", "0" if scope["method"] == "DELETE" else "")
            if not length.isdecimal() or "transfer-encoding" in headers:
                return 411, "A request that sends something must say how much."
            if int(length) > MOST_BYTES:
                return 413, f"At most {MOST_BYTES} bytes may be sent at once."
        # A code that nobody has must not open the page of whoever read last in the same browser.
        if mistaken or (not enters and not self._may(scope["path"], headers)):
            if scope["path"].startswith(_READ_PATHS):
                return 401, "Open the reading by the address that you were given, which ends in your code."
            return 401, "Open the studio by the address that it printed, which holds its token."
        return None

    def _entrance(self, path: str, given: dict[str, list[str]]) -> tuple[str, str] | None:
        """Return where to go and which cookie to take along, for an address that holds a token or a code."""
        if path == "/" and hmac.compare_digest(given.get("token", [""])[0].encode(), self._access.token.encode()):
            return "/", f"{self._access.cookie}={self._access.token}"
        code = given.get("code", [""])[0]
        if path == "/read" and code and self._access.knows_reader(code):
            return "/read", f"{self._access.cookie}-reader={code}"
        return None

    def _may(self, path: str, headers: dict[str, str]) -> bool:
        if path.startswith("/static/"):
            return True
        cookies = self._cookies(headers)
        if path.startswith(_READ_PATHS):
            return self._access.knows_reader(cookies.get("reader", ""))
        return hmac.compare_digest(cookies.get("token", "").encode(), self._access.token.encode())

    def _cookies(self, headers: dict[str, str]) -> dict[str, str]:
        names = {self._access.cookie: "token", f"{self._access.cookie}-reader": "reader"}
        try:
            found = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return {}
        return {names[name]: one.value for name, one in found.items() if name in names}


def _with_headers(send: Send) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            more = [(name.encode(), value.encode()) for name, value in _HEADERS.items() if name.encode() not in own]
            message["headers"] = [*message["headers"], *more]
        await send(message)

    return sent


async def _answer(send: Send, status: int, words: str, headers: dict[str, str] | None = None) -> None:
    given = {"content-type": "text/plain; charset=utf-8"} | (headers or {})
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    through = _with_headers(send)
    await through(start)
    await through({"type": "http.response.body", "body": words.encode()})
