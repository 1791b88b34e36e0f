"""The request log: one line for each call, whatever its protocol, with the same fields.

Reads stand here and nowhere else; changes and refusals of known callers stand in the audit trail,
too. Neither bodies nor query strings nor credentials are in it.
"""

import structlog

from apps.audit.domain.redaction import one_line, scrubbed
from apps.audit.types import Answered
from apps.core.actors import Actor, Call

log = structlog.get_logger("fleetd.calls")

EVENT = "call"


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
        result=answered.result.value,
        organization_id=str(actor.organization_id) if actor else "",
        actor_kind=actor.kind.value if actor else "",
        actor_id=str(actor.id or "") if actor else "",
        actor=one_line(actor.label, 254) if actor else "",
        address=one_line(call.address or "", 45),
        request_id=one_line(call.request_id, 64),
        duration_ms=round(answered.seconds * 1000, 1),
    )
