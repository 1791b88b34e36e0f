"""fleetctl rollouts: planning, running and ending them."""

import argparse
import sys
from typing import Any

from fleetctl.client import Client, quoted
from fleetctl.errors import Refused, UsageError
from fleetctl.forecasts import add_forecast
from fleetctl.manifests import add_export, read_file, request_of, send_manifest
from fleetctl.notifications import add_mails
from fleetctl.output import Columns, show_list, show_one
from fleetctl.reasons import add_reasons
from fleetctl.sign_in import connect
from fleetctl.suspects import add_suspects
from fleetctl.verbs import add_get, add_list, confirm, verb

ROLLOUTS: Columns = (
    ("NAME", "name"),
    ("STATE", "state"),
    ("RELEASE", "release_name"),
    ("VERSION", "release_version"),
    ("DONE", "counts.succeeded"),
    ("FAILED", "counts.failed"),
    ("TOTAL", "counts.total"),
    ("WHY", "verdict"),
    ("ID", "id"),
)
PHASES: Columns = (
    ("PHASE", "name"),
    ("STATE", "state"),
    ("TO", "percent"),
    ("DEVICES", "counts.total"),
    ("GATE", "gate"),
)
# The word of the API, what it does, and whether it wants a reason.
VERBS = {
    "submit": ("ask for approval, or make it ready", False),
    "reject": ("send a plan back to its maker", True),
    "start": ("begin", False),
    "pause": ("offer nothing more until it is resumed", False),
    "resume": ("go on", False),
    "halt": ("stop it for good; devices at work finish", True),
    "clone": ("plan a rollout like it", False),
    "close": ("let no further device join a dynamic rollout", False),
    "cancel": ("end it where it is; asks first unless --yes", False),
    "roll-back": ("bring devices back to what they had; asks first unless --yes", False),
}
ASKED = {
    "cancel": "cancel rollout {}?",
    "roll-back": "bring the devices of rollout {} back to their earlier releases?",
}


def add_rollouts(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Every verb of `fleetctl rollouts`."""
    add_list(verbs, common, "rollouts", ROLLOUTS, "state")
    add_get(verbs, common, "rollouts")
    add_forecast(verbs, common)
    add_mails(verbs, common)
    _add_plan(verbs, common, "create", "plan a rollout as a draft")
    _add_plan(verbs, common, "plan", "say what creating it would do, and store nothing")
    add_export(verbs, common)
    for name, (text, wants_reason) in VERBS.items():
        _add_verb(verbs, common, name, text, wants_reason=wants_reason)
    add_suspects(verbs, common)
    add_reasons(verbs, common)
    examples = "fleetctl rollouts approve ID --plan-hash HASH\nfleetctl rollouts get ID"
    approve = verb(verbs, common, "approve", "approve exactly this plan", examples, _approve)
    approve.add_argument("id", metavar="ID")
    approve.add_argument("--plan-hash", required=True, help="as shown by `rollouts get ID`")
    examples = 'fleetctl rollouts advance ID --phase 2 --reason "looked at the ten devices"'
    advance = verb(verbs, common, "advance", "pass a gate, or open a phase", examples, _advance)
    advance.add_argument("id", metavar="ID")
    advance.add_argument("--phase", type=int, required=True, metavar="N", help="counted from 1")
    advance.add_argument("--reason", required=True)


def _add_verb(
    verbs: Any, common: argparse.ArgumentParser, name: str, text: str, *, wants_reason: bool
) -> None:
    def run(options: argparse.Namespace) -> int:
        if name in ASKED:
            confirm(options, ASKED[name].format(options.id))
        body = {"reason": options.reason} if wants_reason else None
        rollout = connect(options).post(f"rollouts/{quoted(options.id)}:{name}", body)
        _show(rollout, options.output)
        return 0

    examples = f"fleetctl rollouts {name} ID\nfleetctl rollouts {name} ID -o json"
    if wants_reason:
        examples = f'fleetctl rollouts {name} ID --reason "too hot"'
    parser = verb(verbs, common, name, text, examples, run)
    parser.add_argument("id", metavar="ID")
    if wants_reason:
        parser.add_argument("--reason", required=True)
    if name in ASKED:
        parser.add_argument("--yes", action="store_true", help="do not ask")


def _show_preview(client: Client, rollout: dict[str, Any]) -> None:
    """How many devices of the target would update, and why not the others."""
    names = ("release_id", "target", "excluded")
    body = {name: rollout[name] for name in names if rollout.get(name)}
    if (rollout.get("plan") or {}).get("installation", {}).get("allow_downgrade"):
        body["allow_downgrade"] = True
    try:
        found = client.post("rollouts:preview", body)
    except Refused as error:
        if error.status != 404:
            raise
        # Made for a manifest, and gone with the dry run.
        name, version = rollout["release_name"], rollout["release_version"]
        sys.stdout.write(f"\nthe release {name} {version} would be made too\n")
        return
    count, matched = found["will_update"], found["matched"]
    sys.stdout.write(f"\n{count} of {matched} devices would update\n")
    for reason in found["reasons"]:
        sys.stdout.write(f"{reason['count']:>7}  {reason['words']}\n")


def _add_plan(verbs: Any, common: argparse.ArgumentParser, name: str, text: str) -> None:
    def run(options: argparse.Namespace) -> int:
        client = connect(options)
        rollout = _planned(client, options, validate_only=name == "plan")
        if name == "plan" and options.output != "json":
            show_list(_with_gates(rollout), PHASES, options.output)
            _show_preview(client, rollout)
        else:
            _show(rollout, options.output)
        return 0

    examples = (
        f"fleetctl rollouts {name} --name Lab --release app@2.4.0 --filter 'tags:lab'\n"
        f"fleetctl rollouts {name} --name All --release app@stable --phases 1,100 --statistical\n"
        f"fleetctl rollouts {name} --name Sites --release app@2.4.0 --phase-filter 'tags:lab'\n"
        f"fleetctl rollouts {name} -f rollout.yaml\n"
        f"fleetctl rollouts export ID | fleetctl rollouts {name} -f -"
    )
    parser = verb(verbs, common, name, text, examples, run)
    parser.add_argument(
        "-f", "--file", help="a manifest, or the request in JSON; - is standard input"
    )
    parser.add_argument("--name", default="")
    parser.add_argument(
        "--release", default="", metavar="NAME@VERSION", help="or NAME@CHANNEL, or the id"
    )
    parser.add_argument("--tag", action="append", default=[], help="devices with this tag")
    parser.add_argument("--filter", default="", help="devices that match")
    parser.add_argument(
        "--percent", type=int, default=0, help="so many percent of them: the first in its order"
    )
    parser.add_argument("--maximum", type=int, default=0, help="at most so many of them")
    parser.add_argument("--phases", default="100", metavar="1,10,100", help="cumulative percent")
    parser.add_argument(
        "--phase-filter",
        action="append",
        default=[],
        metavar="FILTER",
        help="first a phase of the devices that match; more than one go in order before --phases",
    )
    parser.add_argument("--dynamic", action="store_true", help="devices that match later join")
    parser.add_argument(
        "--supersede",
        action="store_true",
        help="devices that wait in older rollouts of this release name leave those",
    )
    parser.add_argument(
        "--per-site", type=int, default=0, metavar="N", help="so many of a site at work at a time"
    )
    parser.add_argument(
        "--site-bandwidth",
        type=int,
        default=0,
        metavar="BYTES",
        help="per second, of all devices of a site together",
    )
    parser.add_argument("--statistical", action="store_true", help="gates with known error rates")
    parser.add_argument("--needs-approval", action="store_true", help="of another person")


def _with_gates(rollout: dict[str, Any]) -> list[dict[str, Any]]:
    """The phases of a plan, each with its gate in words."""
    plans = (rollout.get("plan") or {}).get("phases") or []
    gates = [_gate_words(plan.get("gate") or {}) for plan in plans]
    gates += [""] * (len(rollout["phases"]) - len(gates))
    return [{**phase, "gate": gate} for phase, gate in zip(rollout["phases"], gates, strict=False)]


def _gate_words(gate: dict[str, Any]) -> str:
    if gate.get("kind") != "sequential":
        return "halts at the first failure"
    good, bad = (100 * float(gate[f"{name}_rate"]) for name in ("acceptable", "unacceptable"))
    return f"by statistics: {good:g} % may fail, {bad:g} % may not"


def _planned(client: Client, options: argparse.Namespace, *, validate_only: bool) -> Any:
    """What came of the words of the command, or of its file."""
    if not options.file:
        body: dict[str, Any] | None = _body(options)
    else:
        text = read_file(options.file)
        body = request_of(text)
        if body is None:
            return send_manifest(client, options.file, text, validate_only=validate_only)
    return client.post(
        "rollouts", (body or {}) | ({"validate_only": True} if validate_only else {})
    )


def _body(options: argparse.Namespace) -> dict[str, Any]:
    if not options.name or not options.release:
        raise UsageError("give --name and --release, or -f FILE")
    kind = "sequential" if options.statistical else "strict"
    return {
        "name": options.name,
        **_release(options.release),
        "target": _target(options),
        "requires_approval": options.needs_approval,
        "plan": {
            "phases": [{**phase, "gate": {"kind": kind}} for phase in _phases(options)],
            **({"is_dynamic": True} if options.dynamic else {}),
            **({"supersedes": True} if options.supersede else {}),
            **_site_limit(options),
        },
    }


def _target(options: argparse.Namespace) -> dict[str, Any]:
    part = {name: getattr(options, name) for name in ("percent", "maximum")}
    said = {name: number for name, number in part.items() if number}
    return {"tags": options.tag, "filter": options.filter, **said}


def _site_limit(options: argparse.Namespace) -> dict[str, Any]:
    limits = {"in_flight": options.per_site, "bytes_per_second": options.site_bandwidth}
    said = {name: number for name, number in limits.items() if number}
    return {"site_limit": said} if said else {}


def _phases(options: argparse.Namespace) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = [{"filter": text} for text in options.phase_filter]
    return filters + [{"percent": percent} for percent in _percents(options)]


def _percents(options: argparse.Namespace) -> list[int]:
    try:
        return [int(word) for word in options.phases.split(",")]
    except ValueError as error:
        raise UsageError("--phases are whole numbers, as 1,10,100") from error


def _release(text: str) -> dict[str, str]:
    """NAME@VERSION and NAME@CHANNEL are the server's to read, anything else is an id."""
    return {"release" if "@" in text else "release_id": text}


def _approve(options: argparse.Namespace) -> int:
    body = {"plan_hash": options.plan_hash}
    rollout = connect(options).post(f"rollouts/{quoted(options.id)}:approve", body)
    _show(rollout, options.output)
    return 0


def _advance(options: argparse.Namespace) -> int:
    body = {"index": options.phase - 1, "reason": options.reason}
    rollout = connect(options).post(f"rollouts/{quoted(options.id)}:advance-phase", body)
    _show(rollout, options.output)
    return 0


def _show(rollout: dict[str, Any], form: str) -> None:
    if form == "json":
        show_one(rollout, form)
    else:
        show_list([rollout], ROLLOUTS, form)
