"""What `fleetd-agent status` shows: read from disk, so it works whether the agent runs or not."""

import json
from datetime import UTC, datetime
from typing import Any

from fleetd_agent import __version__
from fleetd_agent.identity import IdentityStore
from fleetd_agent.journal import FileJournal
from fleetd_agent.places import Places, Problem

LAST_RESULTS = 5


def collect(places: Places) -> dict[str, Any]:
    """Identity, connection, deployment under way, last results."""
    try:
        identity = IdentityStore(places.state).load()
        state = FileJournal(places.state).load()
        is_running = places.is_running()
    except PermissionError as error:
        raise Problem(f"cannot read {places.state}: use sudo") from error
    active = state.active
    return {
        "agent_version": __version__,
        "state_dir": str(places.state),
        "is_running": is_running,
        "identity": identity
        and {
            "device_id": identity.device_id,
            "organization_id": identity.organization_id,
            "server": identity.server,
            "agent_address": identity.agent_address,
            "fingerprint": identity.fingerprint,
            "not_before": identity.certificate.not_valid_before_utc.isoformat(),
            "not_after": identity.not_after.isoformat(),
            "renew_at": identity.renew_at.isoformat(timespec="seconds"),
        },
        "connection": _connection(places) if is_running else None,
        "active": active
        and {
            "deployment_id": active.offer.deployment_id,
            "release": f"{active.offer.release_name} {active.offer.release_version}",
            "step": active.last.step.value if active.last else "",
            "phase": active.phase,
        },
        "installed": state.installed,
        "unsent_reports": len(state.outbox),
        "last_results": [
            {
                "deployment_id": report.deployment_id,
                "step": report.step.value,
                "reason_code": report.reason_code,
                "message": report.message,
                "at": report.device_time,
            }
            for report in list(state.finished.values())[-LAST_RESULTS:][::-1]
        ],
    }


def render(status: dict[str, Any], *, as_json: bool) -> str:
    """For people, or for programs."""
    if as_json:
        return json.dumps(status, indent=2) + "\n"
    lines = [f"fleetd-agent {status['agent_version']}, state in {status['state_dir']}"]
    lines += _identity_lines(status["identity"])
    if connection := status["connection"]:
        text = f"{connection['connection']} since {connection['since']} ({connection['detail']})"
        lines.append(f"connection   {text}")
    else:
        lines.append("connection   the agent is not running")
    if active := status["active"]:
        lines.append(f"deployment   {active['release']}: {active['step']}")
    else:
        lines.append("deployment   none under way")
    for name, version in sorted(status["installed"].items()):
        lines.append(f"installed    {name} {version}")
    for result in status["last_results"]:
        why = f": {result['reason_code']}, {result['message']}" if result["reason_code"] else ""
        lines.append(f"result       {result['at'][:19]} {result['step']}{why}")
    if status["unsent_reports"]:
        lines.append(f"waiting      {status['unsent_reports']} reports to be sent")
    return "\n".join(lines) + "\n"


def _identity_lines(identity: dict[str, Any] | None) -> list[str]:
    if identity is None:
        return ["identity     not enrolled"]
    left = datetime.fromisoformat(identity["not_after"]) - datetime.now(UTC)
    return [
        f"identity     device {identity['device_id']} at {identity['server']}",
        f"certificate  until {identity['not_after']} ({left.days} days left), "
        f"renewed at {identity['renew_at']}",
        f"fingerprint  {identity['fingerprint']}",
    ]


def _connection(places: Places) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(places.status.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return data
