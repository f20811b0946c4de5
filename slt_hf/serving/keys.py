"""Who may come in, and how often: checked before a body is read, on every route that is not public.

A plain ASGI middleware: a FastAPI dependency runs only after the whole upload has been read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from slt_hf.serving.errors import OverloadedError
from slt_hf.serving.places import Places
from slt_hf.serving.settings import ServerSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PUBLIC = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
PAGE = "/page/"  # and "/": a browser brings no key when it asks for a page, which is where the key is typed in
SUBPROTOCOL = "slt-hf.key."  # browsers cannot set headers on a WebSocket: the key comes as a subprotocol
POLICY_VIOLATION, TRY_LATER = 1008, 1013  # WebSocket close codes


def new_key() -> tuple[str, str]:
    """A key for a client, and its hash for the server."""
    key = secrets.token_urlsafe(32)
    return key, hash_of(key)


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def key_of(scope: Scope) -> str | None:
    """The key that a request brings: bearer header, or subprotocol of a WebSocket."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    offered = [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
    return next((each[len(SUBPROTOCOL) :] for each in offered if each.startswith(SUBPROTOCOL)), None)


def page_reader(scope: Scope) -> str | None:
    """Whoever reads the page's files, by where they come from: they too have a rate. None for all other requests."""
    reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    path = scope["path"]
    if reads and (path == "/" or (path.startswith(PAGE) and ".." not in path)):
        return f"page {(scope.get('client') or ('unknown',))[0]}"
    return None


class Guard:
    """Lets requests with a known key through, each key at its rate; everything else ends here."""

    def __init__(self, app: Any, settings: ServerSettings):
        self.app, self.settings = app, settings
        self.limiter = MovingWindowRateLimiter(MemoryStorage())
        self.limit = RateLimitItemPerMinute(settings.requests_per_minute)
        self.requests = Places(settings.requests_at_once, "requests")
        self.streams = Places(settings.streams_per_key, "streams")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in PUBLIC):
            await self.app(scope, receive, send)
            return
        caller = self.caller(scope) or page_reader(scope)
        if caller is None:
            await refuse(scope, send, 401, "expected a known API key as bearer token, found none; ask for a key")
        elif scope["type"] == "websocket" and not self.origin_allowed(scope):
            await refuse(scope, send, 403, "this page may not open a stream here; ask for its origin to be allowed")
        elif not await self.within_rate(caller):
            found = f"more than {self.settings.requests_per_minute} requests a minute; wait and try again"
            await refuse(scope, send, 429, found)
        else:
            await self._let_in(scope, receive, send, caller)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, caller: str) -> None:
        scope["caller"] = caller
        places = self.requests if scope["type"] == "http" else self.streams
        try:
            with places.one(caller):
                await self.app(scope, receive, send)
        except OverloadedError as error:  # raised before the application was asked: it answers its own errors itself
            await refuse(scope, send, 429, str(error))

    def caller(self, scope: Scope) -> str | None:
        """Who asks: the hash of their key, or where they come from if no key is asked for; None for nobody."""
        if self.settings.open_to_all:
            return str((scope.get("client") or ("unknown",))[0])
        return self.known(key_of(scope))

    def known(self, key: str | None) -> str | None:
        """The hash of a key that is let in, else None; over whatever protocol it came."""
        found = hash_of(key or "")
        known = [hmac.compare_digest(found, each) for each in self.settings.api_key_hashes]
        return found if key is not None and any(known) else None

    async def within_rate(self, caller: str) -> bool:
        """Counts one request of a caller; all protocols count together."""
        return await self.limiter.hit(self.limit, caller)

    def origin_allowed(self, scope: Scope) -> bool:
        """Programs name no origin; a page's must be this server or one that is allowed."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        own = {f"{scheme}://{headers.get('host', '')}" for scheme in ("http", "https")}
        return origin is None or origin in own or origin in self.settings.allowed_origins


async def refuse(scope: Scope, send: Send, status: int, message: str) -> None:
    """One line of JSON, or a closed WebSocket; nothing of the body is read."""
    if scope["type"] == "websocket":
        code = TRY_LATER if status == 429 else POLICY_VIOLATION
        await send({"type": "websocket.close", "code": code, "reason": message[:120]})
        return
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
