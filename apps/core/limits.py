"""How often something may happen: one count for all processes, decided in one step.

The algorithm is GCRA, the generic cell rate algorithm (ITU-T I.371, annex A, virtual scheduling):
per key one number is kept, the time at which the budget would be full again. A caller who was
silent may spend the whole limit at once, then goes on at `limit` per `per_seconds`.

The script runs in Valkey, by Valkey's clock. While Valkey is away, or slower than the deadline,
every process counts for itself: limits become coarser and never disappear.
"""

import asyncio
import hashlib
import heapq
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from apps.core.errors import TooMany

log = structlog.get_logger(__name__)

DEADLINE_SECONDS = 0.5
AWAY_SECONDS = 1.0  # for so long nobody asks Valkey again after it failed
MAX_LOCAL_KEYS = 20_000
_MICRO = 1_000_000

# KEYS: one per limit. ARGV: "1" to spend, then per limit the microseconds between two calls, those
# of the whole window, and the cost. Answers per limit how long to wait and how long until the
# budget is full. Nothing is spent unless every limit allows it.
_SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local answer, nexts, refused = {}, {}, false
for i, key in ipairs(KEYS) do
  local interval, window = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3])
  local full = tonumber(redis.call('GET', key) or '0')
  full = math.min(math.max(full, now), now + window)
  nexts[i] = full + interval * tonumber(ARGV[i * 3 + 1])
  local wait = math.max(0, nexts[i] - window - now)
  refused = refused or wait > 0
  answer[i * 2 - 1] = wait
  answer[i * 2] = full - now
end
if ARGV[1] == '1' and not refused then
  for i, key in ipairs(KEYS) do
    if nexts[i] > now then
      local lasts = math.ceil((nexts[i] - now) / 1000)
      redis.call('SET', key, string.format('%.0f', nexts[i]), 'PX', lasts)
    end
    answer[i * 2] = nexts[i] - now
  end
end
return answer
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit` calls per `per_seconds` for one `key` of the limit `name`."""

    name: str
    key: str
    limit: int
    per_seconds: float
    cost: int = 1

    @property
    def interval(self) -> int:
        """Microseconds between two calls at the steady rate."""
        return max(1, int(self.per_seconds * _MICRO) // self.limit)

    @property
    def window(self) -> int:
        """Microseconds that the whole limit takes."""
        return self.interval * self.limit

    @property
    def stored_as(self) -> str:
        """The name of the number in Valkey. Keys may be anybody's text, so their digest."""
        digest = hashlib.blake2b(self.key.encode("utf-8", "replace"), digest_size=16)
        return f"limit:{self.name}:{digest.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a limit. `reset_seconds` until all of it is there again."""

    limit: int
    remaining: int
    reset_seconds: int
    name: str = ""
    per_seconds: int = 0


class LimitReached(TooMany):
    """A limit is used up; `budgets` are those that were asked for, the refused one first."""

    def __init__(self, budgets: Sequence[Budget], wait: int) -> None:
        self.budgets = tuple(budgets)
        seconds = max(1, math.ceil(wait / _MICRO))
        super().__init__(
            f"Too many requests. Try again in {seconds} s.",
            data={"limit": budgets[0].name, "retry_after_seconds": seconds},
            retry_after_seconds=seconds,
        )


def take(name: str, key: str, *, limit: int, per_seconds: float, cost: int = 1) -> Budget:
    """Spends `cost` of a budget. Raises `LimitReached`, a `TooMany`, with `retry_after_seconds`.

    A limit of 0 is none. From threads; event loops use `take_all_async`.
    """
    if limit <= 0:
        return Budget(0, 0, 0, name)
    return take_all([Limit(name, key, limit, per_seconds, cost)])[0]


def look(name: str, key: str, *, limit: int, per_seconds: float) -> Budget:
    """What is left of a budget, without spending. Raises `LimitReached` where nothing is."""
    if limit <= 0:
        return Budget(0, 0, 0, name)
    asked = [Limit(name, key, limit, per_seconds)]
    return _judge(asked, _ask(asked, spend=False))[0]


def forget(name: str, key: str) -> None:
    """Gives a budget back whole, for example the account's after a right password."""
    stored_as = Limit(name, key, 1, 1).stored_as
    _local.forget(stored_as)
    if not _line.is_away():
        try:
            _script().registered_client.delete(stored_as)
        except (RedisError, OSError) as error:
            _line.failed(error)


def take_all(limits: Sequence[Limit]) -> tuple[Budget, ...]:
    """Spends of several budgets together: where one refuses, none is spent."""
    asked = [limit for limit in limits if limit.limit > 0]
    return _judge(asked, _ask(asked, spend=True)) if asked else ()


async def take_all_async(limits: Sequence[Limit]) -> tuple[Budget, ...]:
    """The same on an event loop."""
    asked = [limit for limit in limits if limit.limit > 0]
    if not asked:
        return ()
    answer = None
    if not _line.is_away():
        try:
            keys, arguments = _wire(asked, spend=True)
            answer = await _async_script()(keys=keys, args=arguments)
        except (RedisError, OSError) as error:
            _line.failed(error)
    return _judge(asked, answer or _local.ask(asked, spend=True))


def _ask(asked: Sequence[Limit], *, spend: bool) -> Sequence[int]:
    if not _line.is_away():
        try:
            keys, arguments = _wire(asked, spend=spend)
            answer: Sequence[int] = _script()(keys=keys, args=arguments)
            return answer
        except (RedisError, OSError) as error:
            _line.failed(error)
    return _local.ask(asked, spend=spend)


def _wire(asked: Sequence[Limit], *, spend: bool) -> tuple[list[str], list[int]]:
    arguments = [int(spend)]
    for limit in asked:
        arguments += [limit.interval, limit.window, limit.cost]
    return [limit.stored_as for limit in asked], arguments


def _judge(asked: Sequence[Limit], answer: Sequence[int]) -> tuple[Budget, ...]:
    """The budgets, or `LimitReached` for the one that has to wait longest."""
    waits, fulls = answer[0::2], answer[1::2]
    budgets = [_budget(limit, full) for limit, full in zip(asked, fulls, strict=True)]
    longest = max(waits)
    if longest > 0:
        budgets.insert(0, budgets.pop(waits.index(longest)))
        raise LimitReached(budgets, longest)
    return tuple(budgets)


def _budget(limit: Limit, full: int) -> Budget:
    remaining = max(0, (limit.window - full) // limit.interval)
    reset = math.ceil(full / _MICRO)
    return Budget(limit.limit, remaining, reset, limit.name, math.ceil(limit.per_seconds))


class _Line:
    """Whether Valkey failed a moment ago."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def is_away(self) -> bool:
        """Whether to count here instead of asking."""
        return time.monotonic() < self._until

    def failed(self, error: Exception) -> None:
        """Remembers it for a moment."""
        self._until = time.monotonic() + AWAY_SECONDS
        log.warning("limits_counted_here", error=str(error) or type(error).__name__)

    def forget(self) -> None:
        """Asks again at once."""
        self._until = float("-inf")


class _Local:
    """The same algorithm in this process, for as long as Valkey is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full: dict[str, int] = {}

    def ask(self, asked: Sequence[Limit], *, spend: bool) -> list[int]:
        """Per limit how long to wait and how long until it is full, in microseconds."""
        now = time.monotonic_ns() // 1000
        with self._lock:
            fulls = [max(self._full.get(limit.stored_as, 0), now) for limit in asked]
            nexts = [f + c.interval * c.cost for f, c in zip(fulls, asked, strict=True)]
            waits = [max(0, n - c.window - now) for n, c in zip(nexts, asked, strict=True)]
            if spend and not any(waits):
                fulls = nexts
                self._full.update({c.stored_as: n for c, n in zip(asked, nexts, strict=True)})
                self._shrink(now)
        pairs = zip(waits, fulls, strict=True)
        return [value for wait, full in pairs for value in (wait, full - now)]

    def forget(self, stored_as: str) -> None:
        """Removes one."""
        with self._lock:
            self._full.pop(stored_as, None)

    def _shrink(self, now: int) -> None:
        """Never more than a fixed number of keys: what is nearly full again goes first."""
        if len(self._full) <= MAX_LOCAL_KEYS:
            return
        self._full = {key: full for key, full in self._full.items() if full > now}
        for key in heapq.nsmallest(
            len(self._full) - MAX_LOCAL_KEYS * 9 // 10, self._full, key=self._full.__getitem__
        ):
            del self._full[key]


_line = _Line()
_local = _Local()
_scripts: dict[str, Any] = {}
_async_scripts: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _options(retry: Any) -> dict[str, Any]:
    """Short deadlines, and one more try where a line was found dead."""
    return {
        "socket_timeout": DEADLINE_SECONDS,
        "socket_connect_timeout": DEADLINE_SECONDS,
        "retry": retry(NoBackoff(), 1, (RedisConnectionError,)),
    }


def _script() -> Any:
    """The script with this process's client."""
    url = settings.REDIS_URL
    if url not in _scripts:
        _scripts[url] = Redis.from_url(url, **_options(Retry)).register_script(_SCRIPT)
    return _scripts[url]


def _async_script() -> Any:
    """The script with this event loop's client."""
    loop = asyncio.get_running_loop()
    if loop not in _async_scripts:
        client = AsyncRedis.from_url(settings.REDIS_URL, **_options(AsyncRetry))
        _async_scripts[loop] = client.register_script(_SCRIPT)
    return _async_scripts[loop]
