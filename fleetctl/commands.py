"""The nouns and verbs of fleetctl that talk to the REST API."""

import argparse
import json
import mimetypes
import sys
from pathlib import Path
from typing import Any

from fleetctl.client import quoted
from fleetctl.errors import UsageError
from fleetctl.holds import add_holds
from fleetctl.output import Columns, show_list, show_one
from fleetctl.rollouts import add_rollouts
from fleetctl.sign_in import connect
from fleetctl.uploads import say_to_stderr, upload_file
from fleetctl.verbs import add_get, add_list, confirm, verb

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
RELEASES: Columns = (
    ("NAME", "name"),
    ("VERSION", "version"),
    ("LOCKED", "locked_at"),
    ("RECALLED", "recalled_at"),
    ("CREATED", "created_at"),
    ("ID", "id"),
)
CARRIERS: Columns = (("DEVICE", "device_name"), ("RELEASES", "releases"), ("ID", "device_id"))
STEPS: Columns = (("NAME", "name"), ("VERSION", "version"), ("RELEASE", "release_id"))
TOKENS: Columns = (
    ("NAME", "name"),
    ("PREFIX", "prefix"),
    ("USES LEFT", "uses_left"),
    ("EXPIRES", "expires_at"),
    ("REVOKED", "revoked_at"),
    ("ID", "id"),
)
RELEASE_VERBS = {
    "recall": "take it back for good; asks first unless --yes",
    "deprecate": "advise against it",
}
FILTER_EXAMPLE = """fleetctl devices list --filter 'connectivity = "offline" AND tags:"lab"'"""


def add_parsers(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds all nouns."""
    _add_devices(_noun(commands, "devices", "the machines of the fleet"), common)
    add_rollouts(_noun(commands, "rollouts", "bringing releases to devices"), common)
    _add_artifacts(_noun(commands, "artifacts", "uploaded files"), common)
    _add_releases(_noun(commands, "releases", "named versions made of artifacts"), common)
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


def _add_releases(verbs: Any, common: argparse.ArgumentParser) -> None:
    add_list(verbs, common, "releases", RELEASES, "package")
    add_get(verbs, common, "releases")
    examples = "fleetctl releases attach-sbom ID --artifact ARTIFACT"
    text = "make a stored CycloneDX or SPDX document its bill of materials"
    attach = verb(verbs, common, "attach-sbom", text, examples, _attach_sbom)
    attach.add_argument("id", metavar="ID")
    attach.add_argument("--artifact", required=True, metavar="ARTIFACT")
    examples = "fleetctl releases devices --package openssl"
    text = "which devices have releases with a package installed"
    devices = verb(verbs, common, "devices", text, examples, _package_devices)
    devices.add_argument("--package", required=True, metavar="NAME")
    devices.add_argument("--limit", type=int, default=50, metavar="N")
    examples = "fleetctl releases create -f release.json\nfleetctl releases create -f - < made.json"
    create = verb(verbs, common, "create", "make one of artifacts", examples, _create_release)
    create.add_argument("-f", "--file", required=True, help="as the REST API takes it, in JSON")
    for name, text in RELEASE_VERBS.items():
        _add_release_verb(verbs, common, name, text)
    examples = "fleetctl releases path ID --device DEVICE"
    path = verb(verbs, common, "path", "what to install, to get a device there", examples, _path)
    path.add_argument("id", metavar="ID")
    path.add_argument("--device", required=True, metavar="DEVICE")


def _attach_sbom(options: argparse.Namespace) -> int:
    body = {"artifact_id": options.artifact}
    release = connect(options).post(f"releases/{quoted(options.id)}:attach-sbom", body)
    show_one(release, options.output)
    return 0


def _package_devices(options: argparse.Namespace) -> int:
    query = {"package": options.package}
    items = list(connect(options).pages("package-devices", options.limit, **query))
    show_list(items, CARRIERS, options.output)
    return 0


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
            confirm(options, f"recall release {options.id} for good?")
        body = {"reason": options.reason}
        release = connect(options).post(f"releases/{quoted(options.id)}:{name}", body)
        show_one(release, options.output)
        return 0

    examples = f'fleetctl releases {name} ID --reason "It fills the disk."'
    parser = verb(verbs, common, name, text, examples, run)
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
