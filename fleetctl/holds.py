"""fleetctl devices why, pin, unpin, release: which rollouts reach a device, and why not."""

import argparse
from typing import Any

from fleetctl.client import quoted
from fleetctl.output import Columns, say, show_list, show_one
from fleetctl.sign_in import connect
from fleetctl.verbs import verb

REASONS: Columns = (("", "mark"), ("CONDITION", "code"), ("WHY", "words"))


def add_holds(verbs: Any, common: argparse.ArgumentParser) -> None:
    """The verbs of `fleetctl devices` that are about rollouts."""
    examples = "fleetctl devices why ID\nfleetctl devices why ID --rollout ROLLOUT"
    why = verb(verbs, common, "why", "why rollouts (do not) reach it now", examples, _why)
    why.add_argument("id", metavar="ID")
    why.add_argument("--rollout", metavar="ROLLOUT", help="without it: all that are under way")
    examples = (
        'fleetctl devices pin ID --reason "on show at the fair"\n'
        'fleetctl devices pin ID --reason "harvest" --until 2026-12-24T00:00:00Z'
    )
    pin = verb(verbs, common, "pin", "let it keep what it has", examples, _pin)
    pin.add_argument("id", metavar="ID")
    pin.add_argument("--reason", required=True)
    pin.add_argument("--until", metavar="TIME", help="when it ends by itself, as RFC 3339")
    _add_end(verbs, common, "unpin", "let rollouts reach it again")
    _add_end(verbs, common, "release", "end its quarantine")


def _why(options: argparse.Namespace) -> int:
    query = {"rollout_id": options.rollout} if options.rollout else {}
    found = connect(options).get(f"devices/{quoted(options.id)}/why", **query)
    if options.output == "json":
        show_one(found, options.output)
        return 0
    if not found["explanations"]:
        say("No rollout is under way.")
    for place, each in enumerate(found["explanations"]):
        gap = "\n" if place else ""
        say(f"{gap}{each['rollout_name']}: {each['verdict']}")
        rows = [{**reason, "mark": "+" if reason["holds"] else "-"} for reason in each["reasons"]]
        show_list(rows, REASONS, options.output)
    return 0


def _pin(options: argparse.Namespace) -> int:
    body = {"reason": options.reason, **({"until": options.until} if options.until else {})}
    show_one(connect(options).post(f"devices/{quoted(options.id)}:pin", body), options.output)
    return 0


def _add_end(verbs: Any, common: argparse.ArgumentParser, name: str, text: str) -> None:
    def run(options: argparse.Namespace) -> int:
        client = connect(options)
        client.post(f"devices/{quoted(options.id)}:{name}")
        show_one(client.get(f"devices/{quoted(options.id)}"), options.output)
        return 0

    examples = f"fleetctl devices {name} ID\nfleetctl devices {name} ID -o json"
    verb(verbs, common, name, text, examples, run).add_argument("id", metavar="ID")
