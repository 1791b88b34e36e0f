"""`fleetd-agent update`: what is under way, and what people at the device decide about it."""

import json
from typing import Any

from fleetd_agent.control import FileControl
from fleetd_agent.journal import Active, FileJournal
from fleetd_agent.messages import Step
from fleetd_agent.places import Places, Problem
from fleetd_agent.policy import Mode


def collect(places: Places) -> dict[str, Any]:
    """The deployment under way, what it waits for, and whether updates are paused."""
    control = FileControl(places.state)
    active = _active(places)
    decisions = control.read()
    return {
        "is_running": places.is_running(),
        "is_paused": decisions.is_paused,
        "paused_at": decisions.paused_at,
        "deployment": active and _describe(active, control),
    }


def _describe(active: Active, control: FileControl) -> dict[str, Any]:
    offer, last = active.offer, active.last
    policy = offer.policy
    is_waiting = last is not None and last.step == Step.WAITING
    return {
        "deployment_id": offer.deployment_id,
        "release": f"{offer.release_name} {offer.release_version}",
        "components": [
            {"name": c.name, "version": c.version, "kind": c.kind} for c in offer.components
        ],
        "step": last.step.value if last else "",
        "reason_code": last.reason_code if last and is_waiting else "",
        "message": last.message if last and is_waiting else "",
        "waiting_until": last.waiting_until if last and is_waiting else "",
        "deadline": offer.deadline,
        "needs_approval": policy is not None and policy.mode == Mode.CONFIRMED,
        "is_approved": control.is_approved(offer.deployment_id),
    }


def render(about: dict[str, Any], *, as_json: bool) -> str:
    """For people, or for programs."""
    if as_json:
        return json.dumps(about, indent=2) + "\n"
    lines = []
    if about["is_paused"]:
        since = about["paused_at"] or "an unknown time"
        lines.append(f"paused since {since}: fleetd-agent update resume")
    if not about["is_running"]:
        lines.append("the agent is not running")
    if deployment := about["deployment"]:
        lines += _deployment_lines(deployment)
    else:
        lines.append("no update is under way")
    return "\n".join(lines) + "\n"


def _deployment_lines(about: dict[str, Any]) -> list[str]:
    lines = [f"{about['release']}: {about['step'] or 'not begun'}"]
    lines += [f"  {c['name']} {c['version']} ({c['kind']})" for c in about["components"]]
    if about["message"]:
        lines.append(f"waits: {about['message']}")
    if about["needs_approval"] and not about["is_approved"]:
        lines.append("agree to it with: fleetd-agent update approve")
    if about["deadline"]:
        lines.append(f"to be done by {about['deadline']}")
    return lines


def approve(places: Places) -> str:
    """Agrees to the deployment that is under way; raises Problem where none waits for that."""
    active = _active(places)
    if active is None:
        raise Problem("no update is under way")
    policy = active.offer.policy
    if policy is None or policy.mode != Mode.CONFIRMED:
        raise Problem("the update under way needs no approval")
    _control(places).approve(active.offer.deployment_id)
    return f"approved: {active.offer.release_name} {active.offer.release_version}"


def pause(places: Places) -> str:
    """Lets no update begin until `resume`."""
    _control(places).pause()
    return "updates are paused; one that changes the machine already is finished"


def resume(places: Places) -> str:
    """Lets updates begin again."""
    _control(places).resume()
    return "updates go on"


def _control(places: Places) -> FileControl:
    if not places.state.is_dir():
        raise Problem(f"{places.state} does not exist: enroll this device first")
    return FileControl(places.state)


def _active(places: Places) -> Active | None:
    try:
        return FileJournal(places.state).load().active
    except PermissionError as error:
        raise Problem(f"cannot read {places.state}: use sudo") from error
