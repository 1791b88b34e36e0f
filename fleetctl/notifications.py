"""fleetctl rollouts mails: whom a rollout told, and what became of each mail."""

import argparse
from typing import Any

from fleetctl.client import quoted
from fleetctl.output import Columns, show_list
from fleetctl.sign_in import connect
from fleetctl.verbs import DEFAULT_LIMIT, verb

MAILS: Columns = (
    ("TO", "recipient"),
    ("WHAT", "words"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("ERROR", "last_error"),
    ("CREATED", "created_at"),
)


def add_mails(verbs: Any, common: argparse.ArgumentParser) -> None:
    """`fleetctl rollouts mails ID`."""

    def run(options: argparse.Namespace) -> int:
        path = f"rollouts/{quoted(options.id)}/notifications"
        show_list(list(connect(options).pages(path, options.limit)), MAILS, options.output)
        return 0

    examples = "fleetctl rollouts mails ID\nfleetctl rollouts mails ID -o json"
    parser = verb(verbs, common, "mails", "whom it told, and what became of each", examples, run)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N")
