"""How long the steps of a deployment may take: nothing on a device goes on for ever."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleetd_agent.failures import StepFailed, TimedOut

# A command that is ended in time tells what it has printed; all else is cut off a little later.
GRACE_SECONDS = 5
# Where the policy has no limit: more than any step of ours can take.
MOST_SECONDS = 4 * 3600


@dataclass
class TimeLimit:
    """The time that a step may take, without what was spent waiting; 0 for no limit."""

    seconds: int
    doing: str
    used: float = 0.0

    def left(self) -> int:
        """Whole seconds that are left; 0 means that there is no limit."""
        return max(1, int(self.seconds - self.used)) if self.seconds else 0

    def check(self) -> None:
        """Raises StepFailed when the time is over."""
        if self.seconds and self.used >= self.seconds:
            raise self._over()

    @asynccontextmanager
    async def counted(self, grace: int = GRACE_SECONDS) -> AsyncIterator[None]:
        """Counts what is done meanwhile; raises StepFailed where that takes too long."""
        began_at = time.monotonic()
        most = self.left() + grace if self.seconds else MOST_SECONDS
        try:
            async with asyncio.timeout(most) as cut:
                yield
        except TimeoutError:
            if not cut.expired():
                raise
            raise self._over() from None
        except TimedOut as failure:
            if not self.seconds or self.used + time.monotonic() - began_at < self.seconds:
                raise
            raise self._over(f": {failure.message}", failure.log_tail) from failure
        finally:
            self.used += time.monotonic() - began_at

    def _over(self, why: str = "", log_tail: str = "") -> StepFailed:
        seconds = self.seconds or MOST_SECONDS
        message = f"{self.doing} took longer than {seconds} s{why}"
        return StepFailed("step_timed_out", message, log_tail)
