"""The nouns and verbs of fleetctl that talk to the REST API."""

import argparse
import mimetypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleetctl.client import quoted
from fleetctl.errors import Refused, UsageError
from fleetctl.output import Columns, show_list, show_one
from fleetctl.sign_in import connect

Parsers = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run = Callable[[argparse.Namespace], int]

DEVICES: Columns = (
    ("NAME", "name"),
    ("CONNECTIVITY", "connectivity"),
    ("LIFECYCLE", "lifecycle"),
    ("MODEL", "model"),
    ("LAST SEEN", "last_seen_at"),
    ("WHY", "connectivity_reason"),
    ("ID", "id"),
)
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
ARTIFACTS: Columns = (
    ("NAME", "name"),
    ("BYTES", "size_bytes"),
    ("SHA256", "sha256"),
    ("CREATED", "created_at"),
    ("ID", "id"),
)
RELEASES: Columns = (
    ("NAME", "name"),
    ("VERSION", "version"),
    ("LOCKED", "locked_at"),
    ("CREATED", "created_at"),
    ("ID", "id"),
)
TOKENS: Columns = (
    ("NAME", "name"),
    ("PREFIX", "prefix"),
    ("USES LEFT", "uses_left"),
    ("EXPIRES", "expires_at"),
    ("REVOKED", "revoked_at"),
    ("ID", "id"),
)
ROLLOUT_VERBS = {
    "submit": "ask for approval, or make it ready",
    "start": "begin",
    "pause": "offer nothing more until it is resumed",
    "resume": "go on",
}
# Where the command is not called like the resource.
COMMANDS = {"enrollment-tokens": "enroll tokens"}
DEFAULT_LIMIT = 50
FILTER_EXAMPLE = """fleetctl devices list --filter 'connectivity = "offline" AND tags:"lab"'"""


def add_parsers(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds all nouns."""
    _add_devices(_noun(commands, "devices", "the machines of the fleet"), common)
    _add_rollouts(_noun(commands, "rollouts", "bringing releases to devices"), common)
    _add_artifacts(_noun(commands, "artifacts", "uploaded files"), common)
    releases = _noun(commands, "releases", "named versions made of artifacts")
    _add_list(releases, common, "releases", RELEASES)
    _add_get(releases, common, "releases")
    _add_enroll(_noun(commands, "enroll", "letting devices join"), common)


def _noun(commands: Any, name: str, text: str) -> Any:
    parser = commands.add_parser(name, help=text)
    return parser.add_subparsers(metavar="COMMAND", required=True)


def _verb(
    verbs: Any, common: argparse.ArgumentParser, name: str, text: str, examples: str, run: Run
) -> argparse.ArgumentParser:
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


def _add_list(
    verbs: Any, common: argparse.ArgumentParser, path: str, columns: Columns, *filters: str
) -> argparse.ArgumentParser:
    def run(options: argparse.Namespace) -> int:
        query = {name: getattr(options, name) for name in filters}
        try:
            items = list(connect(options).pages(path, options.limit, **query))
        except Refused as error:
            raise error.pointing_at(query.get("filter", "")) from error
        show_list(items, columns, options.output)
        return 0

    command = COMMANDS.get(path, path)
    examples = f"fleetctl {command} list\nfleetctl {command} list --limit 500 -o json"
    parser = _verb(verbs, common, "list", "list them", examples, run)
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N")
    for name in filters:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, default="")
    return parser


def _add_get(verbs: Any, common: argparse.ArgumentParser, path: str) -> None:
    def run(options: argparse.Namespace) -> int:
        show_one(connect(options).get(f"{path}/{quoted(options.id)}"), options.output)
        return 0

    examples = f"fleetctl {path} get ID\nfleetctl {path} get ID -o json"
    parser = _verb(verbs, common, "get", "show one", examples, run)
    parser.add_argument("id", metavar="ID")


def _add_devices(verbs: Any, common: argparse.ArgumentParser) -> None:
    filters = ("lifecycle", "connectivity", "tag", "group_id", "search", "filter")
    listed = _add_list(verbs, common, "devices", DEVICES, *filters)
    listed.epilog = f"{listed.epilog}\n  {FILTER_EXAMPLE}\nfilters: `fleetctl help filter`"
    _add_get(verbs, common, "devices")
    examples = "fleetctl devices approve ID\nfleetctl devices list --lifecycle pending"
    approve = _verb(verbs, common, "approve", "let a pending device in", examples, _approve_device)
    approve.add_argument("id", metavar="ID")


def _approve_device(options: argparse.Namespace) -> int:
    device = connect(options).post(f"devices/{quoted(options.id)}:approve")
    show_one(device, options.output)
    return 0


def _add_rollouts(verbs: Any, common: argparse.ArgumentParser) -> None:
    _add_list(verbs, common, "rollouts", ROLLOUTS, "state")
    _add_get(verbs, common, "rollouts")
    for name, text in ROLLOUT_VERBS.items():
        _add_rollout_verb(verbs, common, name, text)
    _add_rollout_verb(verbs, common, "cancel", "end it where it is; asks first unless --yes")
    examples = "fleetctl rollouts approve ID --plan-hash HASH\nfleetctl rollouts get ID"
    approve = _verb(verbs, common, "approve", "approve exactly this plan", examples, _approve)
    approve.add_argument("id", metavar="ID")
    approve.add_argument("--plan-hash", required=True, help="as shown by `rollouts get ID`")


def _add_rollout_verb(verbs: Any, common: argparse.ArgumentParser, name: str, text: str) -> None:
    def run(options: argparse.Namespace) -> int:
        if name == "cancel":
            _confirm(options, f"cancel rollout {options.id}?")
        rollout = connect(options).post(f"rollouts/{quoted(options.id)}:{name}")
        _show_rollout(rollout, options.output)
        return 0

    examples = f"fleetctl rollouts {name} ID\nfleetctl rollouts {name} ID -o json"
    parser = _verb(verbs, common, name, text, examples, run)
    parser.add_argument("id", metavar="ID")
    if name == "cancel":
        parser.add_argument("--yes", action="store_true", help="do not ask")


def _approve(options: argparse.Namespace) -> int:
    body = {"plan_hash": options.plan_hash}
    rollout = connect(options).post(f"rollouts/{quoted(options.id)}:approve", body)
    _show_rollout(rollout, options.output)
    return 0


def _show_rollout(rollout: dict[str, Any], form: str) -> None:
    if form == "json":
        show_one(rollout, form)
    else:
        show_list([rollout], ROLLOUTS, form)


def _confirm(options: argparse.Namespace, question: str) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Not without a person: give --yes")
    sys.stderr.write(f"{question} [y/N] ")
    if input().strip().lower() not in ("y", "yes"):
        raise UsageError("cancelled")


def _add_artifacts(verbs: Any, common: argparse.ArgumentParser) -> None:
    _add_list(verbs, common, "artifacts", ARTIFACTS)
    _add_get(verbs, common, "artifacts")
    examples = "fleetctl artifacts push build/app.bin\nfleetctl artifacts push app --name edge-app"
    push = _verb(verbs, common, "push", "upload a file", examples, _push)
    push.add_argument("file", type=Path, metavar="FILE")
    push.add_argument("--name", help="instead of the file's own name")


def _push(options: argparse.Namespace) -> int:
    name = options.name or options.file.name
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    try:
        stream = options.file.open("rb")
    except OSError as error:
        raise UsageError(f"{options.file}: {error.strerror}") from error
    with stream:
        artifact = connect(options).upload("artifacts", stream, name, kind)
    show_one(artifact, options.output)
    return 0


def _add_enroll(verbs: Any, common: argparse.ArgumentParser) -> None:
    tokens = verbs.add_parser("tokens", help="what lets devices join")
    kinds = tokens.add_subparsers(metavar="COMMAND", required=True)
    _add_list(kinds, common, "enrollment-tokens", TOKENS)
    examples = (
        "fleetctl enroll tokens create --name lab --max-uses 10\n"
        "fleetctl enroll tokens create --name line-4 --tag oslo --requires-approval -o json"
    )
    create = _verb(kinds, common, "create", "make one; its secret is shown once", examples, _token)
    create.add_argument("--name", required=True)
    create.add_argument("--max-uses", type=int, default=1, metavar="N")
    create.add_argument("--lifetime-seconds", type=int, default=86_400, metavar="N")
    create.add_argument("--requires-approval", action="store_true")
    create.add_argument("--tag", action="append", default=[], dest="tags")


def _token(options: argparse.Namespace) -> int:
    body = {
        "name": options.name,
        "max_uses": options.max_uses,
        "lifetime_seconds": options.lifetime_seconds,
        "requires_approval": options.requires_approval,
        "tags": options.tags,
    }
    show_one(connect(options).post("enrollment-tokens", body), options.output)
    return 0
