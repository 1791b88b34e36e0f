"""The nouns and verbs of fleetctl that talk to the REST API."""

import argparse
import mimetypes
from pathlib import Path
from typing import Any

from fleetctl.client import quoted
from fleetctl.errors import UsageError
from fleetctl.holds import add_holds
from fleetctl.output import Columns, show_one
from fleetctl.releases import add_releases
from fleetctl.rollouts import add_rollouts
from fleetctl.sign_in import connect
from fleetctl.uploads import say_to_stderr, upload_file
from fleetctl.verbs import add_get, add_list, add_remove, verb

Parsers = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEVICES: Columns = (
    ("NAME", "name"),
    ("CONNECTIVITY", "connectivity"),
    ("LIFECYCLE", "lifecycle"),
    ("MODEL", "model"),
    ("LAST SEEN", "last_seen_at"),
    ("WHY", "connectivity_reason"),
    ("ID", "id"),
)
ARTIFACTS: Columns = (
    ("NAME", "name"),
    ("BYTES", "size_bytes"),
    ("SHA256", "sha256"),
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
FILTER_EXAMPLE = """fleetctl devices list --filter 'connectivity = "offline" AND tags:"lab"'"""


def add_parsers(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds all nouns."""
    _add_devices(_noun(commands, "devices", "the machines of the fleet"), common)
    add_rollouts(_noun(commands, "rollouts", "bringing releases to devices"), common)
    _add_artifacts(_noun(commands, "artifacts", "uploaded files"), common)
    add_releases(_noun(commands, "releases", "named versions made of artifacts"), common)
    _add_enroll(_noun(commands, "enroll", "letting devices join"), common)


def _noun(commands: Any, name: str, text: str) -> Any:
    parser = commands.add_parser(name, help=text)
    return parser.add_subparsers(metavar="COMMAND", required=True)


def _add_devices(verbs: Any, common: argparse.ArgumentParser) -> None:
    filters = ("lifecycle", "connectivity", "tag", "group_id", "search", "filter")
    listed = add_list(verbs, common, "devices", DEVICES, *filters)
    listed.epilog = f"{listed.epilog}\n  {FILTER_EXAMPLE}\nfilters: `fleetctl help filter`"
    add_get(verbs, common, "devices")
    examples = "fleetctl devices approve ID\nfleetctl devices list --lifecycle pending"
    approve = verb(verbs, common, "approve", "let a pending device in", examples, _approve_device)
    approve.add_argument("id", metavar="ID")
    add_holds(verbs, common)


def _approve_device(options: argparse.Namespace) -> int:
    device = connect(options).post(f"devices/{quoted(options.id)}:approve")
    show_one(device, options.output)
    return 0


def _add_artifacts(verbs: Any, common: argparse.ArgumentParser) -> None:
    add_list(verbs, common, "artifacts", ARTIFACTS)
    add_get(verbs, common, "artifacts")
    add_remove(verbs, common, "artifacts", "remove one that no release names")
    examples = "fleetctl artifacts push build/app.bin\nfleetctl artifacts push app --name edge-app"
    push = verb(verbs, common, "push", "upload a file", examples, _push)
    push.add_argument("file", type=Path, metavar="FILE")
    push.add_argument("--name", help="instead of the file's own name")
    examples = (
        "fleetctl artifacts upload build/image.img\n"
        "fleetctl artifacts upload image.img --name gateway.img -o json"
    )
    text = "upload a file in parts; goes on where it stopped when it is run again"
    upload = verb(verbs, common, "upload", text, examples, _upload)
    upload.add_argument("file", type=Path, metavar="FILE")
    upload.add_argument("--name", help="instead of the file's own name")


def _upload(options: argparse.Namespace) -> int:
    name = options.name or options.file.name
    client = connect(options)
    show_one(upload_file(client, options.file, name, say=say_to_stderr), options.output)
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
    add_list(kinds, common, "enrollment-tokens", TOKENS)
    examples = (
        "fleetctl enroll tokens create --name lab --max-uses 10\n"
        "fleetctl enroll tokens create --name line-4 --tag oslo --requires-approval -o json"
    )
    create = verb(kinds, common, "create", "make one; its secret is shown once", examples, _token)
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
