"""fleetctl rollouts suspects and exclude: who fails, and going on without them."""

import argparse
from typing import Any

from fleetctl.client import quoted
from fleetctl.errors import UsageError
from fleetctl.output import Columns, show_list, show_one
from fleetctl.sign_in import connect
from fleetctl.verbs import confirm, verb

SUSPECTS: Columns = (
    ("ATTRIBUTE", "attribute"),
    ("VALUE", "value"),
    ("FAILED", "failed"),
    ("OF", "total"),
    ("WAITING", "waiting"),
    ("WHY", "sentence"),
)
STATE: Columns = (("NAME", "name"), ("STATE", "state"), ("WHY", "verdict"), ("ID", "id"))


def add_suspects(verbs: Any, common: argparse.ArgumentParser) -> None:
    """`suspects` and `exclude`."""
    examples = "fleetctl rollouts suspects ID\nfleetctl rollouts suspects ID -o json"
    text = "say what the devices that fail have in common"
    suspects = verb(verbs, common, "suspects", text, examples, _suspects)
    suspects.add_argument("id", metavar="ID")
    examples = 'fleetctl rollouts exclude ID --trait model=pi4 --reason "no room for it"'
    text = "go on without devices that fail; asks first unless --yes"
    exclude = verb(verbs, common, "exclude", text, examples, _exclude)
    exclude.add_argument("id", metavar="ID")
    exclude.add_argument(
        "--trait", required=True, metavar="ATTRIBUTE=VALUE", help="as `rollouts suspects` says it"
    )
    exclude.add_argument("--reason", required=True)
    exclude.add_argument("--yes", action="store_true", help="do not ask")


def _suspects(options: argparse.Namespace) -> int:
    found = connect(options).get(f"rollouts/{quoted(options.id)}/suspects")
    if options.output == "json":
        show_one(found, options.output)
    else:
        show_list(found["suspects"], SUSPECTS, options.output)
    return 0


def _exclude(options: argparse.Namespace) -> int:
    attribute, sign, value = options.trait.partition("=")
    if not sign or not attribute or not value:
        raise UsageError("--trait is ATTRIBUTE=VALUE, as model=pi4")
    confirm(options, f"go on with rollout {options.id} without devices with {options.trait}?")
    body = {"attribute": attribute, "value": value, "reason": options.reason}
    rollout = connect(options).post(f"rollouts/{quoted(options.id)}:exclude", body)
    if options.output == "json":
        show_one(rollout, options.output)
    else:
        show_list([rollout], STATE, options.output)
    return 0
