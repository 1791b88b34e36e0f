"""Cross-origin calls: which pages of other sites may read the API, decided by organizations.

Only calls with a token. A call from a foreign page loses its cookies here, so a session never
serves another site, and no answer ever allows credentials. A preflight carries no credential: it is
allowed for an origin that some organization lists. The answer to the call itself can be read only
where the caller's own organization lists the origin.
"""

from collections.abc import Callable
from typing import Any

from apps.core.rpc import orm
from apps.web.caller_note import watching_caller
from apps.web.callers import is_own_page
from apps.web.organization_rules import Rules, current_rules, rules_are_fresh

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    b"Authorization, Connect-Protocol-Version, Connect-Timeout-Ms, Content-Type,"
    b" Fleetd-Organization, Grpc-Timeout, Idempotency-Key, If-Match, If-None-Match, Range,"
    b" Request-Id, X-API-Key, X-Grpc-Web, X-User-Agent"
)
RESPONSE_HEADERS = (
    b"Accept-Ranges, Content-Disposition, Content-Range, ETag, Fleetd-Code, Grpc-Message,"
    b" Grpc-Status, Grpc-Status-Details-Bin, Location, RateLimit, RateLimit-Policy, Request-Id,"
    b" Retry-After"
)
PREFLIGHT_SECONDS = b"300"
_ALLOW = b"access-control-allow-origin"


def with_cors(application: Any, is_offered: Callable[[str], bool]) -> Any:
    """The ASGI application that answers pages of listed origins on the paths that are offered."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not is_offered(scope["path"]):
            await application(scope, receive, send)
            return
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if not origins or is_own_page(scope):
            await application(scope, receive, _with_vary(send))
        elif _is_preflight(scope):
            await _answer_preflight(send, _readable(origins))
        else:
            await _serve(application, scope, receive, send, _readable(origins))

    return answer


async def _serve(application: Any, scope: Any, receive: Any, send: Any, origin: str) -> None:
    """A call from a foreign page: without cookies, readable where its organization says so."""
    rules = await _rules()
    headers = [(name, value) for name, value in scope["headers"] if name != b"cookie"]

    async def send_readable(message: Any) -> None:
        if message["type"] == "http.response.start" and rules.lists(found.organization_id, origin):
            allowed = [
                (_ALLOW, origin.encode("ascii")),
                (b"access-control-expose-headers", RESPONSE_HEADERS),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *allowed]}
        await send(message)

    with watching_caller() as found:
        await application({**scope, "headers": headers}, receive, _with_vary(send_readable))


async def _answer_preflight(send: Any, origin: str) -> None:
    vary = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    headers = [(b"vary", vary), (b"cache-control", b"no-store")]
    if (await _rules()).is_listed(origin):
        headers += [
            (_ALLOW, origin.encode("ascii")),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", PREFLIGHT_SECONDS),
        ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _rules() -> Rules:
    """The organizations' rules; only where they have to be read again in a thread."""
    return current_rules() if rules_are_fresh() else await orm(None, current_rules)


def _is_preflight(scope: Any) -> bool:
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in names


def _readable(origins: list[bytes]) -> str:
    """The origin, empty where there is not exactly one of ASCII: that is on nobody's list."""
    return origins[0].decode("ascii", "ignore") if len(origins) == 1 else ""


def _with_vary(send: Any) -> Any:
    """Says that the answer depends on the origin, so that no cache gives it to another one."""

    async def send_varied(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            message = {**message, "headers": [*headers, (b"vary", b"Origin")]}
        await send(message)

    return send_varied
