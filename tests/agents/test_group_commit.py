"""Writing together: order, one answer each, and what happens when PostgreSQL is away."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError

from apps.agents.group_commit import GroupCommit
from apps.core.errors import Unavailable

ORGANIZATION = uuid.uuid4()
pytestmark = pytest.mark.django_db(transaction=True)


class Paper:
    """Writes items down and says ten times each; fails as often as it is told."""

    def __init__(self, failures: Iterator[Exception] = iter(())) -> None:
        self.batches: list[list[int]] = []
        self.failures = failures

    def write(self, organization_id: uuid.UUID, items: list[int]) -> list[int]:
        if (failure := next(self.failures, None)) is not None:
            raise failure
        if 13 in items:
            raise ValueError("unlucky")
        self.batches.append(items)
        return [10 * item for item in items]


def commit(
    write: Any, *, is_wanted: Callable[[int], bool] | None = None, waiting: int = 100
) -> GroupCommit[int, int]:
    return GroupCommit(write, linger_seconds=0.01, size=50, waiting=waiting, is_wanted=is_wanted)


async def test_items_are_written_together_in_order_and_answered_each() -> None:
    paper = Paper()
    group = commit(paper.write)
    futures = [await group.put(ORGANIZATION, n) for n in range(5)]
    assert await asyncio.gather(*futures) == [0, 10, 20, 30, 40]
    assert paper.batches == [[0, 1, 2, 3, 4]]


async def test_a_bad_item_fails_alone() -> None:
    paper = Paper()
    group = commit(paper.write)
    futures = [await group.put(ORGANIZATION, n) for n in range(10, 20)]
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert [a for a in answers if isinstance(a, Exception)] == [answers[3]]
    assert [n for batch in paper.batches for n in batch] == [*range(10, 13), *range(14, 20)]


async def test_patience_while_postgresql_is_away() -> None:
    paper = Paper(iter([OperationalError("away"), OperationalError("still")]))
    group = commit(paper.write, is_wanted=lambda _: True)
    assert await (await group.put(ORGANIZATION, 7)) == 70


async def test_what_nobody_waits_for_any_more_is_given_up() -> None:
    paper = Paper(iter([OperationalError("away")]))
    group = commit(paper.write, is_wanted=lambda n: n != 1)
    gone = await group.put(ORGANIZATION, 1)
    kept = await group.put(ORGANIZATION, 2)
    assert await kept == 20
    assert gone.cancelled()


async def test_without_patience_the_caller_is_told() -> None:
    group = commit(Paper(iter([OperationalError("away")])).write)
    with pytest.raises(Unavailable):
        await (await group.put(ORGANIZATION, 1))


async def test_no_more_wait_than_there_is_room_for() -> None:
    group = commit(Paper().write, waiting=2)
    first = [await group.put(ORGANIZATION, n) for n in (1, 2)]
    third = asyncio.create_task(group.put(ORGANIZATION, 3))
    await asyncio.sleep(0)
    assert not third.done()
    await asyncio.gather(*first)
    assert await (await third) == 30
