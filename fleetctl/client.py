"""The public REST API, as fleetctl uses it."""

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from fleetctl import __version__
from fleetctl.errors import Refused, Unreachable

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 30.0
UPLOAD_TIMEOUT_SECONDS = 3600.0
LARGEST_PAGE = 1000


class Client:
    """Calls one platform with one API key."""

    def __init__(self, server: str, token: str, organization: str = "", ca_file: str = "") -> None:
        import ssl

        import httpx  # costs more than all the rest of a command's start

        headers = {"User-Agent": f"fleetctl/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if organization:
            headers["Fleetd-Organization"] = organization
        self._server = server
        is_plain = server.startswith("http://")
        verify = False if is_plain else ssl.create_default_context(cafile=ca_file or None)
        self._http = httpx.Client(
            base_url=f"{server.rstrip('/')}/api/v1/",
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            verify=verify,
        )

    def get(self, path: str, **query: Any) -> Any:
        """One object or one page."""
        return self._send("GET", path, params=_given(query))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Creates something or does something to it."""
        return self._send("POST", path, json=dict(body or {}))

    def pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, up to `limit`."""
        token, left = "", limit
        while left > 0:
            size = min(left, LARGEST_PAGE)
            page = self.get(path, page_size=size, page_token=token, **query)
            yield from page["items"][:left]
            left -= len(page["items"])
            token = page.get("next_page_token", "")
            if not token:
                return

    def upload(self, path: str, stream: BinaryIO, name: str, content_type: str) -> Any:
        """Sends a file as the body of a request; it is never held in memory."""
        return self._send(
            "POST",
            path,
            params={"name": name},
            content=_blocks(stream),
            headers={"Content-Type": content_type},
            timeout=UPLOAD_TIMEOUT_SECONDS,
        )

    def _send(self, method: str, path: str, **options: Any) -> Any:
        with self._errors():
            response = self._http.request(method, path, **options)
        if response.is_success:
            return response.json() if response.content else {}
        raise Refused(response.status_code, explain(response.status_code, _problem(response)))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.InvalidURL as error:
            raise Unreachable(f"{self._server} is not a web address: {error}") from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{self._server} cannot be reached: {reason}") from error


def explain(status: int, problem: Mapping[str, Any]) -> str:
    """A problem document in words: what, where, what next, and the request id."""
    text = str(problem.get("detail") or problem.get("title") or f"the server answered {status}")
    for item in problem.get("errors") or ():
        text += f"\n  {item.get('pointer', '').lstrip('/')}: {item.get('detail', '')}"
    if status == 401:
        text += "\n  set FLEETD_TOKEN to an API key (fld_pat_…)"
    marks = [str(problem[key]) for key in ("code", "request_id") if problem.get(key)]
    return f"{text} ({', '.join(marks)})" if marks else text


def quoted(identifier: str) -> str:
    """An identifier as one segment of a path."""
    return urllib.parse.quote(identifier, safe="")


def _problem(response: "httpx.Response") -> dict[str, Any]:
    try:
        document = json.loads(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value not in (None, "")}


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(1 << 20):
        yield block
