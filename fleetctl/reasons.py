"""fleetctl rollouts reasons, devices and retry: why devices failed, which, and once more."""

import argparse
from typing import Any

from fleetctl.client import quoted
from fleetctl.output import Columns, show_list, show_one
from fleetctl.sign_in import connect
from fleetctl.verbs import DEFAULT_LIMIT, verb

REASONS: Columns = (
    ("REASON", "reason"),
    ("DEVICES", "devices"),
    ("FAILED", "failed"),
    ("FOR EXAMPLE", "sample_device_name"),
    ("IT SAID", "sample_line"),
)
DEVICES: Columns = (
    ("DEVICE", "device_name"),
    ("STATE", "state"),
    ("%", "progress_percent"),
    ("REASON", "reason_code"),
    ("IT SAID", "message"),
    ("ID", "id"),
)
DRAFT: Columns = (("NAME", "name"), ("STATE", "state"), ("WHY", "verdict"), ("ID", "id"))


def add_reasons(verbs: Any, common: argparse.ArgumentParser) -> None:
    """`reasons`, `devices` and `retry`."""
    examples = "fleetctl rollouts reasons ID\nfleetctl rollouts reasons ID -o json"
    text = "say why devices did not get the release"
    verb(verbs, common, "reasons", text, examples, _reasons).add_argument("id", metavar="ID")
    examples = "fleetctl rollouts devices ID --reason verify_failed --limit 500"
    devices = verb(verbs, common, "devices", "list its devices", examples, _devices)
    devices.add_argument("id", metavar="ID")
    devices.add_argument("--reason", default="", help="as `rollouts reasons` says it")
    devices.add_argument("--state", default="")
    devices.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N")
    examples = "fleetctl rollouts retry ID\nfleetctl rollouts retry ID --reason verify_failed"
    text = "plan a rollout for the devices that failed"
    retry = verb(verbs, common, "retry", text, examples, _retry)
    retry.add_argument("id", metavar="ID")
    retry.add_argument("--reason", default="", help="only those that failed for this reason")


def _reasons(options: argparse.Namespace) -> int:
    found = connect(options).get(f"rollouts/{quoted(options.id)}/reasons")
    if options.output == "json":
        show_one(found, options.output)
    else:
        show_list(found["reasons"], REASONS, options.output)
    return 0


def _devices(options: argparse.Namespace) -> int:
    query = {"rollout_id": options.id, "reason": options.reason, "state": options.state}
    items = list(connect(options).pages("deployments", options.limit, **query))
    show_list(items, DEVICES, options.output)
    return 0


def _retry(options: argparse.Namespace) -> int:
    body = {"reason": options.reason} if options.reason else None
    draft = connect(options).post(f"rollouts/{quoted(options.id)}:retry", body)
    if options.output == "json":
        show_one(draft, options.output)
    else:
        show_list([draft], DRAFT, options.output)
    return 0
