"""Access control of the studio: host, origin, token and size of each request.

Any web page that is open in the browser can send requests to loopback, also under its own host name if that resolves
there (DNS rebinding). Therefore every request must name a host that the studio was opened under. A request that changes
something must come from the studio's own page. All but the static files need the token of the printed address or a
reader's code.
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
"""Maximum size of a request body. A mask of 2048 x 2048 px, as bits in base64, has 0.7 MB."""

_VIEWER_STYLE = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
"""Hash of the one style that OpenSeadragon adds to the page; it removes the outline of its canvas."""
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
"""Paths that a reader's code gives access to."""

_LOGIN_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={place}">
<link rel="icon" href="data:,">
<title>mammofill studio</title>
<p><a href="{place}">Continue</a></p>
"""
"""Response to an address with a token or a code: a page of the studio that loads the next one.

A redirect would not do. If the address was clicked on another site, for example in a web mail, browsers treat a
redirected request as coming from that site and do not send the cookie.
"""


@dataclass(frozen=True)
class Access:
    """What a request must have to be accepted."""

    hosts: frozenset[str]
    """Accepted values of the Host header, each with its port."""
    knows_reader: Callable[[str], bool]
    """Returns whether a code belongs to a reader."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """Name of the cookie. It contains the port, since all ports of a host share their cookies."""
        return "mammofill-" + sorted(self.hosts)[0].rpartition(":")[2]


class AccessControl:
    """ASGI middleware that passes requests to the app or refuses them."""

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
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        login = self._login(scope["path"], query)
        unknown_code = scope["path"] == "/read" and "code" in query and login is None
        refused = self._refused(scope, headers, login is not None, unknown_code)
        if refused is not None:
            await _answer(send, *refused)
        elif login is not None:
            cookie = f"{login[1]}; HttpOnly; SameSite=Strict; Path=/"
            page = _LOGIN_PAGE.format(place=login[0])
            await _answer(send, 200, page, {"content-type": "text/html; charset=utf-8", "set-cookie": cookie})
        else:
            scope["state"] = scope.get("state", {}) | {"reader": self._cookies(headers).get("reader")}
            await self._app(scope, receive, _with_headers(send))

    def _refused(
        self, scope: Scope, headers: dict[str, str], logs_in: bool, unknown_code: bool
    ) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if host not in self._access.hosts:
            return 421, "This is not the address that the studio was opened under."
        origin = headers.get("origin")
        changes = scope["method"] not in ("GET", "HEAD")
        if (changes or origin is not None) and origin != f"http://{host}":
            return 403, "Requests may come from the studio's own page only."
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not logs_in:
            return 403, "Requests may come from the studio's own page only."
        if changes:
            # Browsers send no length with an empty body, for example when a painting is cancelled.
            length = headers.get("content-length", "0" if scope["method"] == "DELETE" else "")
            if not length.isdecimal() or "transfer-encoding" in headers:
                return 411, "A request that sends something must say how much."
            if int(length) > MOST_BYTES:
                return 413, f"At most {MOST_BYTES} bytes may be sent at once."
        # An unknown code must not open the page of the reader whose cookie the browser still has.
        if unknown_code or (not logs_in and not self._is_allowed(scope["path"], headers)):
            if scope["path"].startswith(_READ_PATHS):
                return 401, "Open the reading by the address that you were given, which ends in your code."
            return 401, "Open the studio by the address that it printed, which holds its token."
        return None

    def _login(self, path: str, query: dict[str, list[str]]) -> tuple[str, str] | None:
        """Return the page to load and the cookie to set for an address with a valid token or code; else None."""
        if path == "/" and hmac.compare_digest(query.get("token", [""])[0].encode(), self._access.token.encode()):
            return "/", f"{self._access.cookie}={self._access.token}"
        code = query.get("code", [""])[0]
        if path == "/read" and code and self._access.knows_reader(code):
            return "/read", f"{self._access.cookie}-reader={code}"
        return None

    def _is_allowed(self, path: str, headers: dict[str, str]) -> bool:
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


async def _answer(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    fields = {"content-type": "text/plain; charset=utf-8"} | (headers or {})
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
    }
    send_with_headers = _with_headers(send)
    await send_with_headers(start)
    await send_with_headers({"type": "http.response.body", "body": text.encode()})
