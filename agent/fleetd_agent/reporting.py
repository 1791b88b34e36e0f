"""Tells the platform how far a deployment is, by way of the journal."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fleetd_agent.journal import Active, Journal, State
from fleetd_agent.messages import (
    LOG_TAIL_CHARACTERS,
    MESSAGE_CHARACTERS,
    TERMINAL_STEPS,
    Outcome,
    Report,
    Step,
    clean_text,
)
from fleetd_agent.ports import Clock

DEFAULT_LEASE_SECONDS = 300
REPORTS_PER_LEASE = 3


class Reporter:
    """Spools each report in the same write that makes the step durable."""

    def __init__(
        self, state: State, journal: Journal, clock: Clock, on_report: Callable[[], None]
    ) -> None:
        self._state = state
        self._journal = journal
        self._clock = clock
        self._on_report = on_report

    def tell(
        self,
        active: Active,
        step: Step,
        *,
        progress: int | None = None,
        why: Outcome | None = None,
        until: datetime | None = None,
    ) -> None:
        """Spools a report, and remembers the end of a deployment."""
        active.sequence += 1
        report = Report(
            active.offer.deployment_id,
            active.sequence,
            step,
            progress,
            device_time=self._clock.now().isoformat(),
            waiting_until=until.isoformat() if until else "",
        )
        why = why or (active.outcome if step in TERMINAL_STEPS else None)
        if why:
            report = replace(
                report,
                reason_code=why.reason_code,
                message=clean_text(why.message, MESSAGE_CHARACTERS),
                log_tail=clean_text(why.log_tail, LOG_TAIL_CHARACTERS),
            )
        active.last = report
        if not active.is_disowned:
            self._state.put(report)
        if step in TERMINAL_STEPS:
            self._state.finish(report)
        self._journal.save(self._state)
        self._on_report()

    def repeat(self, report: Report) -> None:
        """Sends a report once more."""
        if report not in self._state.outbox:
            self._state.outbox.append(report)
        self._on_report()

    def is_stored(self, report: Report) -> bool:
        """Whether the platform has acknowledged a report."""
        key = (report.deployment_id, report.sequence)
        return all((r.deployment_id, r.sequence) > key for r in self._waiting(report))

    def _waiting(self, report: Report) -> list[Report]:
        return [r for r in self._state.outbox if r.deployment_id == report.deployment_id]

    async def keep_lease(self, active: Active) -> None:
        """Tells the platform in good time that long steps are still under way."""
        lease = active.offer.lease_seconds or DEFAULT_LEASE_SECONDS
        while True:
            before = active.sequence
            await self._clock.sleep(max(1.0, lease / REPORTS_PER_LEASE))
            last = active.last
            if active.sequence != before or last is None:
                continue
            # With the log: this report takes the place of the first one where that was not sent.
            about = (last.reason_code, last.message, last.log_tail)
            why = Outcome(*about) if last.reason_code else None
            until = datetime.fromisoformat(last.waiting_until) if last.waiting_until else None
            self.tell(active, last.step, progress=last.progress_percent, why=why, until=until)
