"""Finds out whether a new version works: HTTP, TCP, a command, or the stream to the platform."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fleetd_agent.failures import StepFailed, TryLater
from fleetd_agent.messages import Check
from fleetd_agent.ports import Clock
from fleetd_agent.threads import in_daemon_thread

DEFAULT_INTERVAL_SECONDS = 5
DEFAULT_TRY_SECONDS = 10
DEFAULT_DEADLINE_SECONDS = 300
BODY_BYTES = 64 * 1024
REASON = "verify_failed"

Probe = Callable[[Check], Awaitable[None]]


class Probes:
    """The probes that only look from this machine. They raise StepFailed when something is wrong.

    A probe goes to the machine itself, so it honours no proxy.
    """

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def http(self, check: Check) -> None:
        """GET answers with one of the statuses, and with the text."""
        await in_daemon_thread(partial(self._http, check), "check")

    def _http(self, check: Check) -> None:
        if not check.url.startswith(("http://", "https://")):
            raise StepFailed(REASON, f"not a web address: {check.url!r}")
        ends_at = time.monotonic() + check.timeout_seconds
        try:
            with self._opener.open(check.url, timeout=check.timeout_seconds) as answer:
                status, body = answer.status, _read(answer, ends_at)
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, _read(error, ends_at)
        except (OSError, ValueError) as error:
            raise StepFailed(REASON, f"{check.url}: {error}") from error
        is_fine = status in check.statuses if check.statuses else 200 <= status < 400
        text = body.decode(errors="replace")
        if not is_fine:
            raise StepFailed(REASON, f"{check.url} answered {status}", text[-2000:])
        if check.contains and check.contains not in text:
            message = f"{check.url} answered {status} without {check.contains!r}"
            raise StepFailed(REASON, message, text[-2000:])

    async def tcp(self, check: Check) -> None:
        """Something accepts connections."""
        host = check.host or "127.0.0.1"
        try:
            _, writer = await asyncio.open_connection(host, check.port)
        except OSError as error:
            why = error.strerror or error
            raise StepFailed(REASON, f"{host}:{check.port}: {why}") from error
        writer.close()


def _read(answer: Any, ends_at: float) -> bytes:
    """The body; what comes drop by drop is left after the time for one try."""
    body = bytearray()
    while len(body) < BODY_BYTES and time.monotonic() < ends_at:
        chunk = answer.read1(BODY_BYTES - len(body))
        if not chunk:
            break
        body += chunk
    return bytes(body)


async def run_check(check: Check, probe: Probe, clock: Clock) -> None:
    """Tries until enough tries in a row passed; raises StepFailed when the check has failed.

    It has failed after `failure_threshold` failed tries in a row, or when the time is over.
    """
    check = _filled_in(check)
    ends_at = time.monotonic() + check.initial_delay_seconds + check.deadline_seconds
    await clock.sleep(check.initial_delay_seconds)
    passed = failed = 0
    while True:
        failure = await _try(check, probe)
        passed, failed = (0, failed + 1) if failure else (passed + 1, 0)
        if passed >= check.success_threshold:
            return
        is_late = time.monotonic() + check.interval_seconds >= ends_at
        is_failed = 0 < check.failure_threshold <= failed
        if failure and (is_failed or is_late):
            why = f"{failed} tries failed" if is_failed else f"{check.deadline_seconds} s are over"
            message = f"check {check.name}: {failure.message} ({why})"
            raise StepFailed(REASON, message, failure.log_tail)
        if is_late:
            message = f"check {check.name}: passed only {passed} times in a row in time"
            raise StepFailed(REASON, message)
        await clock.sleep(check.interval_seconds)


async def _try(check: Check, probe: Probe) -> StepFailed | None:
    try:
        async with asyncio.timeout(check.timeout_seconds):
            await probe(check)
    except TimeoutError:
        return StepFailed(REASON, f"no answer within {check.timeout_seconds} s")
    except TryLater as later:
        return StepFailed(REASON, later.message, later.log_tail)
    except StepFailed as failure:
        return failure
    return None


def _filled_in(check: Check) -> Check:
    return replace(
        check,
        name=check.name or check.probe,
        interval_seconds=check.interval_seconds or DEFAULT_INTERVAL_SECONDS,
        timeout_seconds=check.timeout_seconds or DEFAULT_TRY_SECONDS,
        success_threshold=max(1, check.success_threshold),
        deadline_seconds=check.deadline_seconds or DEFAULT_DEADLINE_SECONDS,
    )
