"""What the commands of fleetctl are made of."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from fleetctl.client import quoted
from fleetctl.errors import Refused, UsageError
from fleetctl.output import Columns, show_list, show_one
from fleetctl.sign_in import connect

Run = Callable[[argparse.Namespace], int]
# Where the command is not called like the resource.
COMMANDS = {"enrollment-tokens": "enroll tokens"}
DEFAULT_LIMIT = 50


def verb(
    verbs: Any, common: argparse.ArgumentParser, name: str, text: str, examples: str, run: Run
) -> argparse.ArgumentParser:
    """A command of its own with examples below its help."""
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=text,
        parents=[common],
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_list(
    verbs: Any, common: argparse.ArgumentParser, path: str, columns: Columns, *filters: str
) -> argparse.ArgumentParser:
    """`list`: one resource, filtered by these parameters."""

    def run(options: argparse.Namespace) -> int:
        query = {name: getattr(options, name) for name in filters}
        try:
            items = list(connect(options).pages(path, options.limit + 1, **query))
        except Refused as error:
            raise error.pointing_at(query.get("filter", "")) from error
        show_list(items[: options.limit], columns, options.output)
        if len(items) > options.limit:
            sys.stderr.write(f"there are more than these {options.limit}: --limit N\n")
        return 0

    command = COMMANDS.get(path, path)
    examples = f"fleetctl {command} list\nfleetctl {command} list --limit 500 -o json"
    parser = verb(verbs, common, "list", "list them", examples, run)
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N")
    for name in filters:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, default="")
    return parser


def add_get(verbs: Any, common: argparse.ArgumentParser, path: str) -> None:
    """`get ID`: one of them."""

    def run(options: argparse.Namespace) -> int:
        show_one(connect(options).get(f"{path}/{quoted(options.id)}"), options.output)
        return 0

    examples = f"fleetctl {path} get ID\nfleetctl {path} get ID -o json"
    parser = verb(verbs, common, "get", "show one", examples, run)
    parser.add_argument("id", metavar="ID")


def add_remove(verbs: Any, common: argparse.ArgumentParser, path: str, text: str) -> None:
    """`rm ID`: removes one of them, unless something uses it."""
    noun = path.removesuffix("s")

    def run(options: argparse.Namespace) -> int:
        confirm(options, f"remove {noun} {options.id} for good?")
        connect(options).delete(f"{path}/{quoted(options.id)}")
        return 0

    examples = f"fleetctl {path} rm ID\nfleetctl {path} rm ID --yes"
    parser = verb(verbs, common, "rm", text, examples, run)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def confirm(options: argparse.Namespace, question: str) -> None:
    """Asks the person; a script has to say --yes."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Not without a person: give --yes")
    sys.stderr.write(f"{question} [y/N] ")
    if input().strip().lower() not in ("y", "yes"):
        raise UsageError("cancelled")
