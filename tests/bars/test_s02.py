"""S02: given the generated matrix, when a new route or RPC has no declared permission, then the
test suite fails; self-test: removing any one existing permission declaration must turn it red.

The sites come from the registries: REST routes, RPCs, page handlers, admin pages, topics, tasks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest

from fleetd.isolation.coverage import Site, sites, undeclared

KINDS = ("REST", "RPC", "page", "admin", "topic", "task")


@cache
def _sites() -> list[Site]:
    return sites()


@contextmanager
def _taken_away(site: Site) -> Iterator[None]:
    """The declaration is gone, as if nobody had written it."""
    owner: Any = site.owner
    if isinstance(owner, dict):
        kept = owner.pop(site.attribute)
        yield
        owner[site.attribute] = kept
        return
    is_own = site.attribute in vars(owner)
    kept = getattr(owner, site.attribute)
    if is_own:
        delattr(owner, site.attribute)
    if getattr(owner, site.attribute, None) is not None:
        setattr(owner, site.attribute, None)
    yield
    if is_own:
        setattr(owner, site.attribute, kept)
    else:
        delattr(owner, site.attribute)


def test_s02_everything_that_can_be_called_declares_its_permission() -> None:
    assert undeclared() == []


@pytest.mark.parametrize("kind", KINDS)
def test_s02_there_is_something_of_each_kind(kind: str) -> None:
    assert len([s for s in _sites() if s.name.startswith(kind)]) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_s02_any_declaration_that_is_taken_away_is_missed(kind: str) -> None:
    unnoticed = []
    for site in (s for s in _sites() if s.name.startswith(kind)):
        with _taken_away(site):
            missing = [s for s in _sites() if not s.is_declared()]
        if site.name not in {s.name for s in missing}:
            unnoticed.append(site.name)
        strangers = [s.name for s in missing if s.owner is not site.owner]
        assert strangers == [], site.name
    assert unnoticed == []
    assert all(site.is_declared() for site in _sites())
