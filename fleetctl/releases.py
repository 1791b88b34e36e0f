"""fleetctl releases: making them, saying where they go, and taking them back."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fleetctl.client import Client, quoted
from fleetctl.errors import UsageError
from fleetctl.output import Columns, say, show_list, show_one
from fleetctl.sign_in import connect
from fleetctl.verbs import add_get, add_list, add_remove, confirm, verb

RELEASES: Columns = (
    ("NAME", "name"),
    ("VERSION", "version"),
    ("CHANNELS", "channels"),
    ("LOCKED", "locked_at"),
    ("RECALLED", "recalled_at"),
    ("CREATED", "created_at"),
    ("ID", "id"),
)
CARRIERS: Columns = (("DEVICE", "device_name"), ("RELEASES", "releases"), ("ID", "device_id"))
REMOVED: Columns = (("NAME", "name"), ("VERSION", "version"), ("RELEASE", "id"))
STEPS: Columns = (("NAME", "name"), ("VERSION", "version"), ("RELEASE", "release_id"))
CHANNELS: Columns = (
    ("NAME", "release_name"),
    ("CHANNEL", "channel"),
    ("VERSION", "release_version"),
    ("SINCE", "promoted_at"),
    ("UNTIL", "ended_at"),
    ("BY", "promoted_by"),
    ("WHY", "reason"),
    ("ID", "id"),
)
RELEASE_VERBS = {
    "recall": "take it back for good; asks first unless --yes",
    "deprecate": "advise against it",
}


def add_releases(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Every verb of `fleetctl releases`."""
    add_list(verbs, common, "releases", RELEASES, "package", "search")
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
    _add_channels(verbs, common)
    add_remove(verbs, common, "releases", "remove one that nothing uses")
    examples = "fleetctl releases clean-up\nfleetctl releases clean-up --now"
    text = "what nothing uses any more; removes it with --now"
    clean = verb(verbs, common, "clean-up", text, examples, _clean_up)
    clean.add_argument("--now", action="store_true", help="remove it now")
    clean.add_argument("--yes", action="store_true", help="do not ask")
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
        name = "standard input" if options.file == "-" else options.file
        raise UsageError(f"{name} is no JSON: {error}") from error
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
        say(f"not reachable: {found['reason']} ({found['code']})")
    return 0


def _add_channels(verbs: Any, common: argparse.ArgumentParser) -> None:
    examples = (
        "fleetctl releases promote app@2.3.0 --channel stable\n"
        'fleetctl releases promote ID --channel beta --reason "a week without a failure"'
    )
    promote = verb(verbs, common, "promote", "make a channel point at it", examples, _promote)
    promote.add_argument("id", metavar="ID", help="or NAME@VERSION")
    promote.add_argument("--channel", required=True, metavar="NAME", help="as stable")
    promote.add_argument("--reason", default="")
    examples = "fleetctl releases channels\nfleetctl releases channels --name app --history"
    listed = verb(verbs, common, "channels", "what channels point at", examples, _channels)
    listed.add_argument("--name", default="", help="of releases with this name")
    listed.add_argument("--history", action="store_true", help="also what they pointed at before")
    listed.add_argument("--limit", type=int, default=50, metavar="N")
    examples = 'fleetctl releases close-channel app@beta --reason "nobody follows it"'
    close = verb(verbs, common, "close-channel", "take a channel away", examples, _close)
    close.add_argument("channel", metavar="NAME@CHANNEL")
    close.add_argument("--reason", required=True)


def _promote(options: argparse.Namespace) -> int:
    client = connect(options)
    body = {"channel": options.channel, "reason": options.reason}
    release = quoted(_release_id(client, options.id))
    show_one(client.post(f"releases/{release}:promote", body), options.output)
    return 0


def _channels(options: argparse.Namespace) -> int:
    query = {"release_name": options.name, "with_history": "true" if options.history else ""}
    items = list(connect(options).pages("release-channels", options.limit, **query))
    columns = CHANNELS if options.history else [c for c in CHANNELS if c[0] != "UNTIL"]
    show_list(items, columns, options.output)
    return 0


def _close(options: argparse.Namespace) -> int:
    client = connect(options)
    name, _at, channel = options.channel.rpartition("@")
    for each in client.pages("release-channels", 1000, release_name=name):
        if name and each["channel"] == channel:
            body = {"reason": options.reason}
            path = f"release-channels/{quoted(each['id'])}:close"
            show_one(client.post(path, body), options.output)
            return 0
    raise UsageError(f"there is no channel {options.channel}")


def _clean_up(options: argparse.Namespace) -> int:
    client = connect(options)
    found = client.get("storage-clean-up")
    if options.now:
        confirm(options, f"remove what nothing uses, {found['size_bytes']} bytes?")
        found = client.post("storage-clean-up:run")
    if options.output == "json":
        show_one(found, options.output)
        return 0
    show_list(found["releases"], REMOVED, options.output)
    for name in ("release_files", "uploads", "stray_files", "size_bytes"):
        sys.stdout.write(f"{name.replace('_', ' '):15} {found[name]}\n")
    sys.stdout.write(f"{'artifacts':15} {len(found['artifacts'])}\n")
    return 0


def _release_id(client: Client, text: str) -> str:
    name, at, version = text.rpartition("@")
    if not at:
        return text
    for release in client.pages("releases", 1000, search=version):
        if (release["name"], release["version"]) == (name, version):
            return str(release["id"])
    raise UsageError(f"there is no release {text}")
