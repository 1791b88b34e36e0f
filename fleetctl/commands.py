"""The nouns and verbs of fleetctl that talk to the REST API."""

import argparse
import json
import mimetypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleetctl.client import quoted
from fleetctl.errors import Refused, UsageError
from fleetctl.output import Columns, show_list, show_one
from fleetctl.sign_in import connect
from fleetctl.uploads import say_to_stderr, upload_file

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
    ("RECALLED", "recalled_at"),
    ("CREATED", "created_at"),
    ("ID", "id"),
)
STEPS: Columns = (("NAME", "name"), ("VERSION", "version"), ("RELEASE", "release_id"))
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
RELEASE_VERBS = {
    "recall": "take it back for good; asks first unless --yes",
    "deprecate": "advise against it",
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
    _add_releases(_noun(commands, "releases", "named versions made of artifacts"), common)
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
    examples = (
        "fleetctl artifacts upload build/image.img\n"
        "fleetctl artifacts upload image.img --name gateway.img -o json"
    )
    text = "upload a file in parts; goes on where it stopped when it is run again"
    upload = _verb(verbs, common, "upload", text, examples, _upload)
    upload.add_argument("file", type=Path, metavar="FILE")
    upload.add_argument("--name", help="instead of the file's own name")


def _upload(options: argparse.Namespace) -> int:
    name = options.name or options.file.name
    client = connect(options)
    show_one(upload_file(client, options.file, name, say=say_to_stderr), options.output)
    return 0


def _add_releases(verbs: Any, common: argparse.ArgumentParser) -> None:
    _add_list(verbs, common, "releases", RELEASES)
    _add_get(verbs, common, "releases")
    examples = "fleetctl releases create -f release.json\nfleetctl releases create -f - < made.json"
    create = _verb(verbs, common, "create", "make one of artifacts", examples, _create_release)
    create.add_argument("-f", "--file", required=True, help="as the REST API takes it, in JSON")
    for name, text in RELEASE_VERBS.items():
        _add_release_verb(verbs, common, name, text)
    examples = "fleetctl releases path ID --device DEVICE"
    path = _verb(verbs, common, "path", "what to install, to get a device there", examples, _path)
    path.add_argument("id", metavar="ID")
    path.add_argument("--device", required=True, metavar="DEVICE")


def _create_release(options: argparse.Namespace) -> int:
    try:
        text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text()
        body = json.loads(text)
    except OSError as error:
        raise UsageError(f"{options.file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{options.file} is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise UsageError(f"{options.file} holds no object")
    show_one(connect(options).post("releases", body), options.output)
    return 0


def _add_release_verb(verbs: Any, common: argparse.ArgumentParser, name: str, text: str) -> None:
    def run(options: argparse.Namespace) -> int:
        if name == "recall":
            _confirm(options, f"recall release {options.id} for good?")
        body = {"reason": options.reason}
        release = connect(options).post(f"releases/{quoted(options.id)}:{name}", body)
        show_one(release, options.output)
        return 0

    examples = f'fleetctl releases {name} ID --reason "It fills the disk."'
    parser = _verb(verbs, common, name, text, examples, run)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--reason", required=True)
    if name == "recall":
        parser.add_argument("--yes", action="store_true", help="do not ask")


def _path(options: argparse.Namespace) -> int:
    client = connect(options)
    found = client.get(f"releases/{quoted(options.id)}/path", device_id=options.device)
    if options.output == "json":
        show_one(found, options.output)
    elif found["is_reachable"]:
        show_list(found["steps"], STEPS, options.output)
    else:
        sys.stdout.write(f"not reachable: {found['reason']} ({found['code']})\n")
    return 0


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
