"""The plan of a rollout: phases, their sizes, the order of devices, and the plan's hash."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

MAX_PHASES = 20
WHOLE = (100,)
MIN_TIMEOUT_SECONDS = 60
MAX_TIMEOUT_SECONDS = 7 * 24 * 3600


class BadPlan(ValueError):
    """A plan that cannot be carried out; the message says why."""


def checked_percents(percents: Sequence[int]) -> tuple[int, ...]:
    """Cumulative percentages of phases: rising, 1 to 100, the last one 100; empty means (100,).

    Raises `BadPlan` otherwise.
    """
    checked = tuple(percents) or WHOLE
    if len(checked) > MAX_PHASES:
        raise BadPlan(f"A rollout has at most {MAX_PHASES} phases.")
    if any(isinstance(p, bool) or not isinstance(p, int) for p in checked):
        raise BadPlan("Phase percentages are whole numbers.")
    if checked[0] < 1 or any(a >= b for a, b in pairwise(checked)):
        raise BadPlan("Phase percentages must rise from one phase to the next, from 1 on.")
    if checked[-1] != 100:
        raise BadPlan("The last phase must end at 100 percent.")
    return checked


def phase_ends(total: int, percents: Sequence[int]) -> tuple[int, ...]:
    """How many of `total` devices are in or before each phase: percentages rounded up.

    Rounded up, so that the first phase of a small rollout is not empty. The same integer
    arithmetic stands in SQL: `(total * percent + 99) / 100`.
    """
    return tuple((total * percent + 99) // 100 for percent in percents)


def phase_sizes(total: int, percents: Sequence[int]) -> tuple[int, ...]:
    """How many of `total` devices each phase holds; they add up to `total`."""
    ends = phase_ends(total, percents)
    return tuple(end - start for start, end in pairwise((0, *ends)))


def phase_of(position: int, ends: Sequence[int]) -> int:
    """The index of the phase that the device at this place, counted from 0, belongs to."""
    return sum(end <= position for end in ends)


def order_key(device_id: UUID, rollout_id: UUID) -> bytes:
    """Devices are taken in the order of this key: the SHA-256 of both ids' texts.

    Each rollout orders anew, so that it is not always the same devices that go first. PostgreSQL
    computes the same: `sha256((device_id::text || rollout_id::text)::bytea)`.
    """
    return hashlib.sha256(f"{device_id}{rollout_id}".encode()).digest()


def plan_hash(plan: Mapping[str, Any]) -> str:
    """SHA-256 of the plan as canonical JSON (sorted keys, no white space), 64 hex digits.

    `plan` holds texts, whole numbers, booleans, None, lists and mappings of those.
    """
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
