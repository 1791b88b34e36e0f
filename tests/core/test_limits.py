"""Limits: one count for all processes, spent together, never gone while Valkey is away."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.core import limits
from apps.core.limits import Limit, LimitReached, forget, look, take, take_all, take_all_async


@pytest.fixture(autouse=True)
def valkey(redis_url):
    """Valkey runs, and nothing is remembered of an outage."""
    limits._line.forget()
    yield
    limits._line.forget()


@pytest.fixture
def without_valkey(settings, tmp_path):
    """Nobody listens where Valkey should be."""
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"


@pytest.fixture
def key():
    return str(uuid4())


def spend(key, times, **given):
    """How many of so many calls were let through."""
    done = 0
    for _ in range(times):
        try:
            take("test", key, **{"limit": 5, "per_seconds": 600, **given})
            done += 1
        except LimitReached:
            pass
    return done


def test_a_limit_lets_so_many_through_and_says_when_to_come_back(key):
    budgets = [take("test", key, limit=3, per_seconds=600) for _ in range(3)]
    assert [b.remaining for b in budgets] == [2, 1, 0]
    with pytest.raises(LimitReached) as refused:
        take("test", key, limit=3, per_seconds=600)
    assert refused.value.code == "too_many_requests"
    assert 195 <= refused.value.retry_after_seconds <= 200
    assert refused.value.budgets[0].remaining == 0


def test_a_budget_refills_at_a_steady_rate(key):
    assert spend(key, 10, limit=10, per_seconds=2) == 10
    with pytest.raises(LimitReached):
        take("test", key, limit=10, per_seconds=2)
    deadline = 0
    while spend(key, 1, limit=10, per_seconds=2) == 0:
        deadline += 1
        assert deadline < 100_000


def test_keys_and_names_have_budgets_of_their_own(key):
    assert spend(key, 9) == 5
    assert spend(key + "x", 9) == 5
    assert take("other", key, limit=5, per_seconds=600).remaining == 4


def test_a_dear_call_costs_more(key):
    assert take("test", key, limit=10, per_seconds=600, cost=7).remaining == 3
    with pytest.raises(LimitReached):
        take("test", key, limit=10, per_seconds=600, cost=4)
    assert take("test", key, limit=10, per_seconds=600, cost=3).remaining == 0


def test_looking_spends_nothing_and_forgetting_gives_everything_back(key):
    for _ in range(10):
        assert look("test", key, limit=5, per_seconds=600).remaining == 5
    spend(key, 5)
    with pytest.raises(LimitReached):
        look("test", key, limit=5, per_seconds=600)
    forget("test", key)
    assert spend(key, 9) == 5


def test_a_limit_of_zero_is_none(key):
    assert spend(key, 50, limit=0) == 50
    assert take_all([Limit("test", key, 0, 60)]) == ()


def test_a_refused_call_uses_up_no_other_budget(key):
    """Else whoever is over one limit could empty what others share with them."""
    own, shared = Limit("own", key, 2, 600), Limit("shared", key, 100, 600)
    for _ in range(2):
        take_all([own, shared])
    for _ in range(20):
        with pytest.raises(LimitReached) as refused:
            take_all([own, shared])
        assert refused.value.budgets[0].name == "own"
    assert look("shared", key, limit=100, per_seconds=600).remaining == 98


def test_many_threads_get_no_more_than_the_limit(key):
    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(lambda _: spend(key, 25, limit=50), range(8)))
    assert done == 50


def test_event_loops_and_threads_share_one_count(key):
    async def three():
        limit = Limit("test", key, 5, 600)
        return [(await take_all_async([limit]))[0].remaining for _ in range(3)]

    assert asyncio.run(three()) == [4, 3, 2]
    assert spend(key, 9) == 2


def test_anything_may_be_a_key():
    for text in ("", "\x00", "ключ", "\ud800", "x" * 10_000, "a\r\nDEL *"):
        assert take("odd", text + str(uuid4()), limit=2, per_seconds=60).remaining == 1


def test_a_smaller_limit_holds_at_once(key):
    """Else a budget spent under a generous limit would lock a caller out for long."""
    spend(key, 1000, limit=1000, per_seconds=600)
    with pytest.raises(LimitReached) as refused:
        take("test", key, limit=10, per_seconds=60)
    assert refused.value.retry_after_seconds <= 6


def test_without_valkey_limits_hold_in_this_process(without_valkey, key):
    assert spend(key, 20) == 5
    assert asyncio.run(_refused_async(key))
    with pytest.raises(LimitReached):
        look("test", key, limit=5, per_seconds=600)
    forget("test", key)
    assert spend(key, 20) == 5


async def _refused_async(key):
    try:
        await take_all_async([Limit("test", key, 5, 600)])
    except LimitReached:
        return True
    return False


def test_a_dead_valkey_is_asked_once_and_not_by_every_call(without_valkey, key, monkeypatch):
    asked = []
    monkeypatch.setattr(
        limits._line, "failed", lambda e, do=limits._line.failed: (asked.append(e), do(e))
    )
    spend(key, 20)
    assert len(asked) == 1


def test_memory_stays_bounded_without_valkey(without_valkey, key, monkeypatch):
    monkeypatch.setattr(limits, "MAX_LOCAL_KEYS", 100)
    spend(key, 5, limit=5, per_seconds=86_400)
    for number in range(500):
        take("flood", str(number), limit=10, per_seconds=60)
    assert len(limits._local._full) <= 100
    assert spend(key, 1, limit=5, per_seconds=86_400) == 0


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    limit=st.integers(1, 20),
    costs=st.lists(st.integers(1, 5), min_size=1, max_size=30),
)
def test_the_fallback_decides_as_the_script_does(limit, costs):
    key = str(uuid4())
    asked = [Limit("same", key, limit, 3600, cost) for cost in costs]
    here = [any(limits._local.ask([a], spend=True)[0::2]) for a in asked]
    there = [any(limits._ask([a], spend=True)[0::2]) for a in asked]
    assert here == there
