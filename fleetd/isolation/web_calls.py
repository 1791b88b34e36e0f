"""Calls of the web port in this process, through its whole middleware, and addresses to call."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import product
from typing import Any
from uuid import uuid4

import orjson
from django.conf import settings
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize
from redis import Redis

from apps.accounts.domain.sessions import RECORDS, RECORDS_OF
from apps.accounts.models import User
from apps.accounts.services.tokens import issue_tokens
from apps.core import clock
from apps.core.actors import Call, SignIn, Source
from apps.core.ids import parse_uuid, uuid7
from apps.core.web import ORGANIZATION_KEY
from fleetd.isolation.answers import Answer, difference, headers_text, shape
from fleetd.isolation.furniture import ADDRESS
from fleetd.isolation.positions import own_candidates
from fleetd.isolation.report import DoorReport
from fleetd.isolation.world import UUID_TEXT, Side, World

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
SAFE = ("GET", "HEAD", "OPTIONS")
MOST_TRIES = 15


@dataclass(frozen=True)
class Address:
    """One address of the web port: a pattern with named ids, and who answers."""

    pattern: str
    parameters: tuple[tuple[str, str], ...]
    view: Any
    name: str

    def at(self, values: Mapping[str, str]) -> str:
        """The address with these values in its path."""
        return "/" + self.pattern % values

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in its path."""
        return tuple(name for name, _kind in self.parameters)

    def accepts(self, name: str, value: str) -> bool:
        """Whether an id can stand there at all."""
        kind = dict(self.parameters)[name]
        if kind == "uuid":
            return UUID_TEXT.fullmatch(value) is not None and "-" in value
        return value.isdigit() if kind == "int" else "/" not in value

    def around(self, name: str) -> str:
        """The noun before a parameter: `devices` in `devices/{id}`."""
        before = self.pattern.partition(f"%({name})s")[0].strip("/").split("/")
        nouns = [part for part in before if part and "%(" not in part]
        return nouns[-1] if nouns else ""

    def __str__(self) -> str:
        return "/" + self.pattern.replace("%(", "{").replace(")s", "}")


def addresses() -> Iterator[Address]:
    """Every address of the web port; the twin with a slash at its end is left out."""
    seen = set()
    for address in _addresses(get_resolver().url_patterns, "", {}):
        key = (address.pattern.rstrip("/"), address.view)
        if key not in seen:
            seen.add(key)
            yield address


def _addresses(patterns: Any, before: str, kinds: dict[str, str]) -> Iterator[Address]:
    for pattern in patterns:
        text = before + pattern.pattern.regex.pattern.removeprefix("^")
        here = {**kinds, **_kinds(pattern.pattern)}
        if isinstance(pattern, URLResolver):
            yield from _addresses(pattern.url_patterns, text.removesuffix("$"), here)
        elif isinstance(pattern, URLPattern):
            form, names = normalize(text)[0]
            parameters = tuple((name, here.get(name, "text")) for name in names)
            yield Address(form, parameters, pattern.callback, pattern.name or "")


def _kinds(pattern: Any) -> dict[str, str]:
    """What the converters of a pattern take."""
    known = {"UUIDConverter": "uuid", "IntConverter": "int"}
    return {
        name: known.get(type(converter).__name__, "text")
        for name, converter in pattern.converters.items()
    }


@dataclass
class Caller:
    """Somebody of ours at the web port."""

    name: str
    client: Client
    headers: dict[str, str]
    report: DoorReport

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        form: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
    ) -> Answer:
        """One request; `body` goes as JSON, bytes as they are, `form` as a form."""
        self.report.calls += 1
        self.client.cookies.pop("messages", None)  # what an earlier page had to say
        arguments: dict[str, Any] = {"headers": {**self.headers, **(headers or {})}}
        if isinstance(body, bytes):
            arguments |= {"data": body, "content_type": arguments["headers"].pop("Content-Type")}
            response = self.client.generic(method, path, **arguments)
        elif form is not None:
            response = self.client.post(path, form, **arguments)
        elif body is not None:
            arguments |= {"data": orjson.dumps(body), "content_type": "application/json"}
            response = self.client.generic(method, path, **arguments)
        else:
            arguments["query_params"] = query or {}
            response = self.client.generic(method, path, **arguments)
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and not again:
            # The check asks more often than people may: its own Valkey forgets what it counted.
            Redis.from_url(settings.REDIS_URL).flushdb()
            sent: dict[str, Any] = {"query": query, "body": body, "form": form}
            return self.call(method, path, **sent, headers=headers, again=True)
        return answer_of(response)


def answer_of(response: HttpResponseBase) -> Answer:
    """Everything of a response. A body that comes in parts is read to its end."""
    parts: Any = response if response.streaming else [response.content]  # type: ignore[attr-defined]
    if getattr(response, "is_async", False):
        content = b"(a file)"
    else:
        content = b"".join(parts)
    cookies = "\n".join(f"set-cookie: {each.OutputString()}" for each in response.cookies.values())
    headers = f"{headers_text(dict(response.items()))}\n{cookies}"
    text = content.decode(errors="replace") + _said(response)
    return Answer(str(response.status_code), headers, text)


def _said(response: Any) -> str:
    """What the next page would say: the messages that a form has left."""
    request = getattr(response, "wsgi_request", None)
    queued = getattr(getattr(request, "_messages", None), "_queued_messages", [])
    return "".join(f"\nmessage: {each.message}" for each in queued)


def key_caller(side: Side, report: DoorReport) -> Caller:
    """The owner's API key."""
    headers = {"Authorization": f"Bearer {side.furnished.api_key}"}
    return Caller("API key", _client(), headers, report)


def token_caller(side: Side, person: User, name: str, report: DoorReport) -> Caller:
    """A program in which somebody has signed in: an access token."""
    sign_in = SignIn(clock.now(), frozenset({"password"}))
    call = Call(Source.REST, ADDRESS, "req_isolation")
    pair = issue_tokens(person, organization_id=side.id, sign_in=sign_in, call=call)
    return Caller(name, _client(), {"Authorization": f"Bearer {pair.access_token}"}, report)


def session_caller(side: Side, report: DoorReport) -> Caller:
    """The owner, who has signed in with a password just now."""
    client, owner = _client(), side.furnished.owner
    client.force_login(owner, backend=BACKEND)
    session = client.session
    session[ORGANIZATION_KEY] = str(side.id)
    session[RECORDS] = [
        {"method": "password", "at": time.time(), "email": owner.email},
        {"method": "mfa", "type": "totp", "at": time.time()},
    ]
    session[RECORDS_OF] = str(owner.pk)
    session.save()
    caller = Caller("session", client, {}, report)
    caller.call("GET", "/api/v1/auth/me")  # the first use of a sign-in is noted
    return caller


def _client() -> Client:
    return Client(raise_request_exception=False, HTTP_HOST="localhost")


@contextmanager
def undone() -> Iterator[None]:
    """Takes back whatever happens inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def nobody(like: str = "") -> str:
    """An id, a number or a word that never was, whichever is like this one."""
    if like.isdigit():
        return str(2_000_000_000 + uuid4().int % 100_000_000)
    return f"nobody{uuid4().hex[:6]}" if _is_word(like) else str(uuid7())


def _is_word(value: str) -> bool:
    return bool(value) and not value.isdigit() and parse_uuid(value) is None


class Probe:
    """Tries foreign ids in one position of one operation and compares with ids that never were."""

    def __init__(self, world: World, caller: Caller, where: str) -> None:
        self.world, self.caller, self.where = world, caller, where
        self.report = caller.report

    def compare(
        self,
        position: str,
        send: Callable[[str], Answer],
        foreign: Mapping[str, str],
        own: list[str],
    ) -> None:
        """`send(value)` makes the call. Each foreign id must be answered as one that never was.

        An own id has to make a difference: were it refused for another reason, the comparison
        would prove nothing. Without any `own` that is not asked.
        """
        where = f"{self.where} {position} ({self.caller.name})"
        never = Never(lambda value: self._shape(send, value, where))
        if never.like("")[0].startswith("5"):
            return  # it is broken, which is noted, and says nothing
        for kind, value in foreign.items():
            got, wanted = self._shape(send, value, where), never.like(value)
            if got != wanted and never.is_steady(value):
                self.report.leak(f"{where} = {kind}", difference(got, wanted))
        if own and not any(self._shape(send, v, where) != never.like(v) for v in own):
            self.report.skip(where, "no id of our own makes a difference")

    def look(self, answer: Answer, where: str, *sent: str) -> None:
        """One answer in which nothing of theirs may be."""
        if answer.is_crash:
            self.report.leak(where, f"answers {answer.status}")
        marks = self.world.marks_in(answer.whole, frozenset(sent))
        if marks:
            self.report.leak(where, f"shows {', '.join(marks[:3])}")

    def _shape(self, send: Callable[[str], Answer], value: str, where: str) -> tuple[str, str]:
        answer = send(value)
        self.look(answer, where, value)
        return shape(answer, self.world, value)


class Never:
    """How ids that never were are answered; asked once for each kind of id."""

    def __init__(self, ask: Callable[[str], tuple[str, str]]) -> None:
        self._ask = ask
        self._known: dict[tuple[bool, bool], tuple[str, str]] = {}

    def like(self, value: str) -> tuple[str, str]:
        """The answer to an id of the same kind as this one."""
        kind = value.isdigit(), _is_word(value)
        if kind not in self._known:
            self._known[kind] = self._ask(nobody(value))
        return self._known[kind]

    def is_steady(self, value: str) -> bool:
        """Whether they are answered so each time: what chance decides cannot be compared."""
        return self._ask(nobody(value)) == self.like(value)


def anchors(
    side: Side, names: tuple[str, ...], around: Any, accepts: Any
) -> Iterator[dict[str, str]]:
    """Combinations of own ids for the parameters of a path, likely ones first."""
    most = MOST_TRIES if len(names) == 1 else 6
    choices = [
        [v for v in own_candidates(side, name, around(name)) if accepts(name, v)][:most]
        for name in names
    ]
    for values in product(*choices):
        yield dict(zip(names, values, strict=True))
