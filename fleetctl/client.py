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
    """Calls one platform with one access token or API key."""

    def __init__(self, server: str, token: str, organization: str = "", ca_file: str = "") -> None:
        import httpx  # costs more than all the rest of a command's start

        headers = {"User-Agent": f"fleetctl/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if organization:
            headers["Fleetd-Organization"] = organization
        self.server = server
        self._http = httpx.Client(
            base_url=f"{server.rstrip('/')}/api/v1/",
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            verify=_verification(server, ca_file),
        )

    def get(self, path: str, **query: Any) -> Any:
        """One object or one page."""
        return self._send("GET", path, params=_given(query))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Creates something or does something to it."""
        return self._send("POST", path, json=dict(body or {}))

    def delete(self, path: str) -> None:
        """Removes one object."""
        self._send("DELETE", path)

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

    def upload_offset(self, path: str) -> int:
        """How many bytes of an upload in parts the server has for certain."""
        return _offset(self._answer("HEAD", path))

    def send_part(self, path: str, offset: int, part: bytes) -> int:
        """Sends the part of an upload that begins at `offset`; how many bytes are stored then."""
        headers = {
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
        }
        return _offset(self._answer("PATCH", path, content=part, headers=headers))

    def _send(self, method: str, path: str, **options: Any) -> Any:
        response = self._answer(method, path, **options)
        return response.json() if response.content else {}

    def _answer(self, method: str, path: str, **options: Any) -> "httpx.Response":
        with _errors(self.server):
            # With a slash before it `rollouts:plan` is a path, not an address of its own.
            response = self._http.request(method, f"/{path}", **options)
        if response.is_success:
            return response
        problem = _problem(response)
        text = explain(response.status_code, problem)
        raise Refused(response.status_code, text, problem.get("metadata"))


def _offset(response: "httpx.Response") -> int:
    text = response.headers.get("Upload-Offset", "")
    if not text.isdigit():
        raise Refused(response.status_code, "the server does not say how much has arrived")
    return int(text)


def post_form(
    server: str, path: str, form: Mapping[str, str], ca_file: str = ""
) -> tuple[int, dict[str, Any]]:
    """Sends a form to an address outside of the REST API; the status and the JSON object."""
    import httpx

    headers = {"User-Agent": f"fleetctl/{__version__}", "Accept": "application/json"}
    url = f"{server.rstrip('/')}/{path}"
    with _errors(server):
        verify = _verification(server, ca_file)
        response = httpx.post(
            url, data=dict(form), headers=headers, timeout=TIMEOUT_SECONDS, verify=verify
        )
    return response.status_code, _problem(response)


@contextmanager
def _errors(server: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.InvalidURL as error:
        raise Unreachable(f"{server} is not a web address: {error}") from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(f"{server} cannot be reached: {reason}") from error


def _verification(server: str, ca_file: str) -> Any:
    """How to check the server's certificate; there is none over plain HTTP."""
    import ssl

    plain = server.startswith("http://")
    return False if plain else ssl.create_default_context(cafile=ca_file or None)


def explain(status: int, problem: Mapping[str, Any]) -> str:
    """A problem document in words: what, where, what next, and the request id."""
    text = str(problem.get("detail") or problem.get("title") or f"the server answered {status}")
    for item in problem.get("errors") or ():
        if item.get("detail") == text and len(problem["errors"]) == 1:
            place = item.get("pointer", "").lstrip("/")
            text = text if not place or place in text else f"{place}: {text}"
            continue
        if item.get("detail") == text:
            continue
        text += f"\n  {item.get('pointer', '').lstrip('/')}: {item.get('detail', '')}"
    if status == 401:
        text += "\n  sign in with `fleetctl login`, or set FLEETD_TOKEN to an API key (fld_pat_…)"
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
