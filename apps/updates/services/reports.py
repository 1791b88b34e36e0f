"""Taking reports: many in one transaction, each at most once."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import connection

from apps.audit.models import AuditEntry
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.devices.services.installed import record_installed
from apps.events.services.outbox import publish
from apps.updates.domain.reports import Outcome, Standing, is_reportable, take_report
from apps.updates.domain.states import DeploymentState
from apps.updates.models import Component, Deployment
from apps.updates.permissions import APPLY_REPORTS
from apps.updates.services.moves import Move, note_moves
from apps.updates.types import DeploymentProgressed, Report, ReportResult

# A success of the agent that installed nothing: it keeps the files for a later deployment.
DOWNLOADED_ONLY = "downloaded_only"
# A device at one of these has its files.
HAVING_FILES = (
    DeploymentState.DOWNLOADED,
    DeploymentState.INSTALLING,
    DeploymentState.REBOOTING,
    DeploymentState.VERIFYING,
)
MAX_MESSAGE, MAX_LOG_TAIL, MAX_REASON = 1024, 16_384, 64
# Device pages hear of each step as long as this many devices report together at most.
NAMED_DEVICES = 25

_LOCK = """
    SELECT id, rollout_id, device_id, phase_index, state, report_sequence, progress_percent,
        reason_code, message, log_tail, finished_at, state_changed_at, downloaded_at
    FROM updates_deployment
    WHERE organization_id = %s AND id = ANY(%s) ORDER BY id FOR UPDATE
"""

# The ids are sorted, so `width_bucket` finds a row's place in the arrays by halving. Joining the
# arrays would be plainer, and ruinous while the planner does not know yet how many deployments
# there are. The lease is as long as the deployment may take, and never outlasts the deadline.
_STORE = """
    UPDATE updates_deployment AS deployment SET (state, report_sequence, progress_percent,
        reason_code, message, log_tail, state_changed_at, finished_at, downloaded_at,
        lease_until) = (
        SELECT (%(state)s::text[])[n], (%(report_sequence)s::int[])[n],
            (%(progress_percent)s::int[])[n], (%(reason_code)s::text[])[n],
            (%(message)s::text[])[n], (%(log_tail)s::text[])[n],
            (%(state_changed_at)s::timestamptz[])[n], (%(finished_at)s::timestamptz[])[n],
            (%(downloaded_at)s::timestamptz[])[n],
            CASE WHEN (%(finished_at)s::timestamptz[])[n] IS NULL
                THEN deployment.deadline_at END
        FROM (SELECT width_bucket(deployment.id, %(id)s::uuid[])) AS place (n))
    WHERE organization_id = %(organization_id)s AND id = ANY(%(id)s::uuid[])
"""
_STORED_FIELDS = (
    "id",
    "state",
    "report_sequence",
    "progress_percent",
    "reason_code",
    "message",
    "log_tail",
    "state_changed_at",
    "finished_at",
    "downloaded_at",
)


@dataclass(slots=True)
class _Row:
    """A locked deployment, with what the reports of this batch make of it."""

    id: UUID
    rollout_id: UUID
    device_id: UUID
    phase_index: int
    state: str
    report_sequence: int
    progress_percent: int
    reason_code: str
    message: str
    log_tail: str
    finished_at: datetime | None
    state_changed_at: datetime
    downloaded_at: datetime | None
    was: str = field(init=False)
    is_changed: bool = field(init=False, default=False)
    has_installed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.was = self.state

    @property
    def standing(self) -> Standing:
        """As the domain takes it."""
        return Standing(DeploymentState(self.state), self.report_sequence)


def apply_reports(actor: Actor, reports: Sequence[Report]) -> list[ReportResult]:
    """Stores what devices say about their deployments; one result per report, in order.

    Idempotent by (deployment, report number). Terminal states never reopen; a last word after the
    time-out is noted. A report on another device's deployment answers not_found and is audited.
    Whoever acknowledges reports does so after this transaction has committed.
    """
    require(actor, APPLY_REPORTS)
    at = clock.now()
    rows = _locked_rows(actor, {report.deployment_id for report in reports})
    results = [_apply(rows.get(report.deployment_id), report, at) for report in reports]
    changed = [row for row in rows.values() if row.is_changed]
    _store(actor, changed)
    _note_installed(actor, changed)
    note_moves(actor, [_move(row) for row in changed if row.state != row.was])
    _announce(actor, changed)
    _audit_strangers(actor, results)
    return results


def _locked_rows(actor: Actor, ids: set[UUID]) -> dict[UUID, _Row]:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [actor.organization_id, list(ids)])
        rows = [_Row(*values) for values in cursor.fetchall()]
    return {row.id: row for row in rows}


def _apply(row: _Row | None, report: Report, at: datetime) -> ReportResult:
    """Takes one report into its row and says what became of it."""
    if row is None or row.device_id != report.device_id:
        return _result(report, Outcome.NOT_FOUND, is_terminal=True)
    step = _step(report)
    if step is None:
        return _result(report, Outcome.IGNORED, is_terminal=row.standing.is_terminal)
    outcome, after = take_report(row.standing, report.report_sequence, step)
    if after.report_sequence != row.report_sequence:
        row.report_sequence, row.is_changed = after.report_sequence, True
    if outcome is Outcome.STORED:
        _take(row, report, after.state, at)
    elif outcome is Outcome.RECONCILED:
        _reconcile(row, report, step, at)
    return _result(report, outcome, is_terminal=after.is_terminal)


def _take(row: _Row, report: Report, step: DeploymentState, at: datetime) -> None:
    if row.downloaded_at is None and step in HAVING_FILES:
        row.downloaded_at = at
    if row.state != step.value:
        row.state, row.state_changed_at = step.value, at
        row.progress_percent = 0
    if report.progress_percent is not None:
        row.progress_percent = max(0, min(report.progress_percent, 100))
    row.reason_code = _clean(report.reason_code, MAX_REASON)
    row.message = _clean(report.message, MAX_MESSAGE)
    row.log_tail = _clean(report.log_tail, MAX_LOG_TAIL, from_end=True) or row.log_tail
    if row.standing.is_terminal:
        row.finished_at = at
        is_success = step is DeploymentState.SUCCEEDED
        row.has_installed = _has_installed(report, step)
        row.progress_percent = 100 if is_success else row.progress_percent


def _reconcile(row: _Row, report: Report, step: DeploymentState, at: datetime) -> None:
    """Notes a last word that came after the time-out. The deployment stays timed out."""
    said = _clean(report.message or report.reason_code, MAX_MESSAGE)
    late = f"After the time-out, at {at:%Y-%m-%d %H:%M:%S} UTC, the device reported {step.value}"
    row.message = f"{late}: {said}"[:MAX_MESSAGE] if said else f"{late}."
    row.log_tail = _clean(report.log_tail, MAX_LOG_TAIL, from_end=True) or row.log_tail
    row.has_installed = _has_installed(report, step)


def _has_installed(report: Report, step: DeploymentState) -> bool:
    return step is DeploymentState.SUCCEEDED and report.reason_code != DOWNLOADED_ONLY


def _step(report: Report) -> DeploymentState | None:
    """The reported step, None for one that devices cannot report."""
    try:
        step = DeploymentState(report.step)
    except ValueError:
        return None
    return step if is_reportable(step) or step is DeploymentState.WAITING else None


def _store(actor: Actor, rows: Sequence[_Row]) -> None:
    if not rows:
        return
    rows = sorted(rows, key=attrgetter("id"))
    parameters: dict[str, Any] = {
        name: [getattr(row, name) for row in rows] for name in _STORED_FIELDS
    }
    with connection.cursor() as cursor:
        cursor.execute(_STORE, {**parameters, "organization_id": actor.organization_id})


def _move(row: _Row) -> Move:
    return Move(
        row.id,
        row.rollout_id,
        row.device_id,
        row.phase_index,
        DeploymentState(row.was),
        DeploymentState(row.state),
        row.reason_code,
    )


def _note_installed(actor: Actor, rows: Sequence[_Row]) -> None:
    """Devices whose deployment succeeded have the release's components now."""
    done = {row.id: row for row in rows if row.has_installed}
    if not done:
        return
    releases = dict(
        Deployment.objects.for_org(actor.organization_id)
        .filter(id__in=done)
        .values_list("id", "release_id")
    )
    versions: dict[UUID, dict[str, str]] = defaultdict(dict)
    components = Component.objects.for_org(actor.organization_id).filter(
        release_id__in=set(releases.values())
    )
    for release_id, name, version in components.values_list(
        "release_id", "name", "release__version"
    ):
        versions[release_id][name] = version
    record_installed(actor, {row.device_id: versions[releases[row.id]] for row in done.values()})


def _announce(actor: Actor, rows: Sequence[_Row]) -> None:
    """One event per rollout for all steps that were reported together."""
    moving = [row for row in rows if row.finished_at is None]
    counts = Counter(row.rollout_id for row in moving)
    named: dict[UUID, list[str]] = defaultdict(list)
    for row in moving if len(moving) <= NAMED_DEVICES else []:
        named[row.rollout_id].append(str(row.device_id))
    if counts:
        publish(
            actor,
            *(
                DeploymentProgressed(rollout_id=id_, count=number, device_ids=named[id_])
                for id_, number in counts.items()
            ),
        )


def _audit_strangers(actor: Actor, results: Sequence[ReportResult]) -> None:
    """Once per device and batch: reports on deployments that are not the device's own."""
    strange = defaultdict(set)
    for result in results:
        if result.outcome == Outcome.NOT_FOUND:
            strange[result.device_id].add(str(result.deployment_id))
    for device_id, deployment_ids in strange.items():
        record(
            actor,
            APPLY_REPORTS.name,
            changes={"device_id": device_id, "deployment_ids": sorted(deployment_ids)[:10]},
            result=AuditEntry.Result.DENIED,
        )


def _result(report: Report, outcome: Outcome, *, is_terminal: bool) -> ReportResult:
    return ReportResult(
        device_id=report.device_id,
        deployment_id=report.deployment_id,
        report_sequence=report.report_sequence,
        outcome=outcome.value,
        is_terminal=is_terminal,
    )


def _clean(text: str, length: int, *, from_end: bool = False) -> str:
    """As PostgreSQL can store it: without NUL, and not too long."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text[-length:] if from_end else text[:length]
