"""Many messages, one transaction: what devices wait for is written together.

Messages of one organization are committed in the order in which they came. While one transaction
runs, the next batch gathers.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog

from apps.core.errors import Unavailable
from apps.core.rpc import DATABASE_AWAY, orm

log = structlog.get_logger(__name__)

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
# What waits: items with the futures of their results.
Line = list[tuple[Any, Any]]

MAX_RETRY_SECONDS = 5.0


class GroupCommit(Generic[I, R]):
    """Writes items of each organization in batches and answers each with its result.

    `write` gets an organization and its items, in a thread and one transaction, and answers one
    result per item. A patient one tries again while PostgreSQL is away, for as long as `is_wanted`
    says so; another answers `Unavailable`. An item that cannot be written for another reason fails
    alone.
    """

    def __init__(
        self,
        write: Callable[[UUID, list[I]], Sequence[R]],
        *,
        linger_seconds: float,
        size: int,
        waiting: int,
        is_wanted: Callable[[I], bool] | None = None,
    ) -> None:
        self._write = write
        self._linger_seconds = linger_seconds
        self._size = size
        self._room = asyncio.Semaphore(waiting)
        self._is_wanted = is_wanted
        self._lines: dict[UUID, Line] = {}
        self._workers: dict[UUID, asyncio.Task[None]] = {}

    async def put(self, organization_id: UUID, item: I) -> "asyncio.Future[R]":
        """Puts an item in line; waits for room, not for the commit."""
        await self._room.acquire()
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._room.release())
        self._lines.setdefault(organization_id, []).append((item, future))
        if organization_id not in self._workers:
            worker = asyncio.create_task(self._work(organization_id))
            self._workers[organization_id] = worker
        return future

    async def settle(self, seconds: float) -> None:
        """Waits until everything in line is written, at most this long."""
        workers = list(self._workers.values())
        if workers:
            await asyncio.wait(workers, timeout=seconds)

    async def stop(self) -> None:
        """Gives up what is in line: it was not acknowledged."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, organization_id: UUID) -> None:
        line: Line = []
        try:
            await asyncio.sleep(self._linger_seconds)
            while line := self._lines.pop(organization_id, []):
                for start in range(0, len(line), self._size):
                    await self._commit(organization_id, line[start : start + self._size])
        finally:
            del self._workers[organization_id]
            for _, future in [*line, *self._lines.pop(organization_id, [])]:
                future.cancel()

    async def _commit(self, organization_id: UUID, batch: Line) -> None:
        delay = 0.1
        while batch:
            try:
                items = [item for item, _ in batch]
                results = await orm(organization_id, self._write, organization_id, items)
            except DATABASE_AWAY as error:
                log.warning("commit_delayed", messages=len(batch), error=str(error))
                batch = self._still_wanted(batch)
                await asyncio.sleep(delay)
                delay = min(2 * delay, MAX_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001  one bad item must not stop the others
                await self._commit_apart(organization_id, batch, error)
                return
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    _answer(future, result)
                return

    async def _commit_apart(self, organization_id: UUID, batch: Line, error: Exception) -> None:
        """Finds the bad item by halves."""
        if len(batch) == 1:
            log.error("commit_failed", exc_info=error)
            future = batch[0][1]
            if not future.done():
                future.set_exception(error)
            return
        middle = len(batch) // 2
        await self._commit(organization_id, batch[:middle])
        await self._commit(organization_id, batch[middle:])

    def _still_wanted(self, batch: Line) -> Line:
        kept = []
        for item, future in batch:
            if self._is_wanted is None:
                if not future.done():
                    future.set_exception(Unavailable(retry_after_seconds=1))
            elif self._is_wanted(item):
                kept.append((item, future))
            else:
                future.cancel()
        return kept


def _answer(future: "asyncio.Future[R]", result: R) -> None:
    if not future.done():
        future.set_result(result)
