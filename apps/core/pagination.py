"""Keyset pages: constant cost at any depth, stable while rows change.

A page token names the last row seen by the values that the list is ordered by. It carries no
authority: it only ever narrows a queryset that is scoped already.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Model, Q, QuerySet

from apps.core.errors import InvalidPageToken, invalid

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_SEARCH_LENGTH = 200

M = TypeVar("M", bound=Model)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What the caller asked for; `size` is within bounds already."""

    size: int = DEFAULT_PAGE_SIZE
    token: str = ""

    @classmethod
    def of(cls, size: object = None, token: str | None = "") -> "PageRequest":
        """From outside: no size means the default, a large one is coerced, a bad one refused."""
        if size in (None, "", 0):
            return cls(DEFAULT_PAGE_SIZE, token or "")
        try:
            number = int(str(size))
        except ValueError:
            number = 0
        if number < 1:
            raise invalid("page_size", "invalid_page_size", "page_size is a number from 1 to 1000.")
        return cls(min(number, MAX_PAGE_SIZE), token or "")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; an empty `next_page_token` means that it was the last."""

    items: list[T]
    next_page_token: str = ""


def checked_search(text: str) -> str:
    """What somebody typed to narrow a list, cut to a length that is sensible to look for.

    Raises `InvalidRequest` for a NUL, which PostgreSQL's texts cannot hold.
    """
    if "\x00" in text:
        raise invalid("search", "invalid_search", "The search contains a NUL character.")
    return text[:MAX_SEARCH_LENGTH]


def paginate(
    rows: QuerySet[M], request: PageRequest, *, order_by: Sequence[str], bound_to: str = ""
) -> Page[M]:
    """One page of `rows`, ordered by model fields, the last of which must be unique.

    A field with a leading minus descends. Fields must not be null. A token leads on only in the
    list that it was given for: with the same order, and the same text in `bound_to` (a filter).
    """
    terms = _terms(order_by, bound_to)
    if request.token:
        values = _decode(request.token, terms, len(order_by))
        rows = rows.filter(_after(rows.model, order_by, values))
    found = list(rows.order_by(*order_by)[: request.size + 1])
    items = found[: request.size]
    more = len(found) > request.size
    return Page(items, _encode(items[-1], order_by, terms) if more else "")


def _terms(order_by: Sequence[str], bound_to: str) -> list[str]:
    """What a token has to agree with."""
    digest = [hashlib.sha256(bound_to.encode()).hexdigest()[:16]] if bound_to else []
    return [*order_by, *digest]


def _after(model: type[Model], order_by: Sequence[str], values: list[Any]) -> Q:
    """Rows that come after the one with these values: (a, b) > (x, y), spelled out.

    PostgreSQL finds no starting point in an index from the alternatives alone, and would read a
    deep page from the list's beginning: the bound on the first field says where to start.
    """
    condition = Q()
    equal = Q()
    typed = _typed(model, order_by, values)
    for name, value in zip(order_by, typed, strict=True):
        field = name.lstrip("-")
        beyond = Q(**{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
        condition |= equal & beyond
        equal &= Q(**{field: value})
    first = order_by[0]
    bound = Q(**{f"{first.lstrip('-')}__{'lte' if first.startswith('-') else 'gte'}": typed[0]})
    return bound & condition


def _typed(model: type[Model], order_by: Sequence[str], values: list[Any]) -> list[Any]:
    try:
        return [
            model._meta.get_field(name.lstrip("-")).to_python(value)  # type: ignore[union-attr]
            for name, value in zip(order_by, values, strict=True)
        ]
    except (ValidationError, FieldDoesNotExist, ValueError, TypeError) as error:
        raise InvalidPageToken from error


def _encode(row: Model, order_by: Sequence[str], terms: list[str]) -> str:
    values = [getattr(row, name.lstrip("-")) for name in order_by]
    text = orjson.dumps([terms, values], default=str)
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _decode(token: str, terms: list[str], count: int = 0) -> list[Any]:
    """The values in a token, refused unless it was made for such a list."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        made_for, values = orjson.loads(text)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidPageToken from error
    if made_for != terms or not isinstance(values, list) or len(values) != (count or len(terms)):
        raise InvalidPageToken
    if not all(isinstance(v, str | int) and "\x00" not in str(v) for v in values):
        raise InvalidPageToken
    return values
