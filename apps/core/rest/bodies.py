"""Reading request bodies: strict JSON objects, small enough, and nothing ambiguous in them."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from apps.core.errors import InvalidRequest
from apps.core.rest.problems import Problem

MAX_DEPTH = 32
MAX_DIGITS = 20
MAX_VALUES = 50_000
MAX_TEXT = 512 * 1024
JSON_TYPE = "application/json"


class Refused(Exception):
    """A request that HTTP itself refuses, with its problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


def read_json_object(request: HttpRequest) -> dict[str, Any]:
    """The body as a JSON object; no body at all is an empty one.

    Duplicate keys, NUL, lone surrogates, NaN, very long numbers and deep nesting are refused:
    each means something else to the next parser.
    """
    if (request.content_type or "").lower() == JSON_TYPE:
        return parse_object(_read(request))
    if has_body(request):
        raise Refused(
            Problem(415, "unsupported_media_type", "Send a body of type application/json.")
        )
    return {}


def has_body(request: HttpRequest) -> bool:
    """Whether the client sends anything; curl announces a form even where it sends nothing."""
    length = request.headers.get("Content-Length", "")
    return length not in ("", "0") or "Transfer-Encoding" in request.headers


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; raises `InvalidRequest`."""
    if not body.strip():
        return {}
    try:
        found = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError:
        raise InvalidRequest("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error.msg} at {error.pos}.") from None
    if not isinstance(found, dict):
        raise InvalidRequest("The body is not a JSON object.")
    _check(found)
    return found


def _read(request: HttpRequest) -> bytes:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = request.read(limit + 1)
    if len(body) > limit:
        raise Refused(Problem(413, "body_too_large", f"A body has at most {limit} bytes."))
    return bytes(body)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("The JSON has an object with the same key twice.")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidRequest("The JSON has a number that is too long.")
    return int(text)


def _float(text: str) -> float:
    number = float(text) if len(text) <= 40 else float("inf")
    if number in (float("inf"), float("-inf")):
        raise InvalidRequest("The JSON has a number that is too large.")
    return number


def _constant(text: str) -> Any:
    raise InvalidRequest(f"{text} is no JSON.")


def _check(found: dict[str, Any]) -> None:
    """Refuses what neither protobuf nor PostgreSQL can hold, and what is too much of it."""
    left, level = MAX_VALUES, [found]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, str):
                check_text(value)
            elif isinstance(value, dict):
                inner += [*value, *value.values()]
            elif isinstance(value, list):
                inner += value
        left -= len(inner)
        if left < 0:
            raise InvalidRequest(f"The JSON has more than {MAX_VALUES} values.")
        if not inner:
            return
        level = inner
    raise InvalidRequest("The JSON is nested too deeply.")


def check_text(text: str) -> None:
    """Refuses NUL, lone surrogates and texts of absurd length."""
    if len(text) > MAX_TEXT:
        raise InvalidRequest("The JSON has a text that is too long.")
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise InvalidRequest("Text must be valid Unicode without NUL characters.")
