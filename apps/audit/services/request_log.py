"""The request log: one line for each call, whatever its protocol, with the same fields.

Reads stand here and nowhere else; changes and refusals of known callers stand in the audit trail,
too. Neither bodies nor query strings nor credentials are in it.
"""

import structlog

from apps.audit.domain.redaction import one_line, scrubbed
from apps.audit.types import Answered, CallResult
from apps.core.actors import Actor, Call

log = structlog.get_logger("fleetd.calls")

EVENT = "call"
_DENIED = {
    "401", "403", "429", "4401", "4404", "4429", "unauthenticated", "permission_denied",
    "resource_exhausted", "too_many_requests",
}  # fmt: skip
_ERRORS = {"internal", "internal_error", "unknown", "data_loss"}


def log_call(actor: Actor | None, call: Call, answered: Answered) -> None:
    """Writes the line. `actor` is None where nobody is known."""
    log.info(
        EVENT,
        source=call.source.value,
        method=answered.method,
        route=one_line(answered.route, 200) or "none",
        object_id=one_line(scrubbed(answered.object_id), 64),
        status=answered.status,
        code=answered.code,
        result=result_of(answered.status, answered.code).value,
        organization_id=str(actor.organization_id) if actor else "",
        actor_kind=actor.kind.value if actor else "",
        actor_id=str(actor.id or "") if actor else "",
        actor=one_line(actor.label, 254) if actor else "",
        address=one_line(call.address or "", 45),
        request_id=one_line(call.request_id, 64),
        duration_ms=round(answered.seconds * 1000, 1),
    )


def result_of(status: str, code: str) -> CallResult:
    """What an HTTP status, a WebSocket's close code or an RPC status comes to."""
    if code in ("", "ok") and not status.startswith(("4", "5")):
        return CallResult.OK
    if status.lower() in _DENIED or code in _DENIED or status.startswith("3"):
        return CallResult.DENIED
    if status.startswith("5") or status.lower() in _ERRORS or code in _ERRORS:
        return CallResult.ERROR
    return CallResult.FAILED
