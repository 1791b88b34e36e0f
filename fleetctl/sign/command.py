"""`fleetctl sign init | release | renew | rotate | status`."""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from fleetctl.client import Client, quoted
from fleetctl.errors import CommandError, UsageError
from fleetctl.output import show_list, show_one
from fleetctl.sign.ceremony import first_metadata, public_half, release_metadata
from fleetctl.sign.folder import DEFAULT, Folder
from fleetctl.sign.keys import OfflineKey
from fleetctl.sign.metadata import (
    ROOT_DAYS,
    TARGETS_DAYS,
    NotBelieved,
    Signers,
    believe_platform,
    believe_targets,
    follow,
    make_root,
    renewed,
    sign,
    signers_of,
    target_of,
    target_path,
    text_of,
)
from fleetctl.sign_in import connect
from fleetctl.verbs import confirm

ROLES = (("ROLE", "role"), ("VERSION", "version"), ("EXPIRES", "expires_at"),
         ("SIGNATURES", "threshold"), ("KEYS", "key_count"))  # fmt: skip
TARGETS = (("COMPONENT", "component"), ("BYTES", "length"), ("SHA256", "sha256"),
           ("SIGNED", "is_signed"))  # fmt: skip


def add_parsers(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the noun and its verbs."""
    parser = commands.add_parser("sign", help="sign releases with your own keys")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    init = _verb(verbs, common, "init", "make keys and the first root, and publish it", _init)
    init.add_argument("--root-days", type=int, default=ROOT_DAYS, metavar="N")
    release = _verb(verbs, common, "release", "sign a release and publish that", _release)
    release.add_argument("name", metavar="NAME")
    release.add_argument("version", metavar="VERSION")
    release.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="COMPONENT=PATH",
        help="compare with a file of your own before signing",
    )
    release.add_argument("--yes", action="store_true", help="do not ask")
    renew = _verb(verbs, common, "renew", "sign the same targets with a later end", _renew)
    for each in (init, release, renew):
        each.add_argument("--targets-days", type=int, default=TARGETS_DAYS, metavar="N")
    _add_rotate(verbs, common)
    _verb(verbs, common, "status", "what is published, and until when", _status)


def _add_rotate(verbs: Any, common: argparse.ArgumentParser) -> None:
    rotate = _verb(
        verbs, common, "rotate", "publish the next root: other keys, a later end", _rotate
    )
    for role in ("root", "targets"):
        rotate.add_argument(f"--new-{role}-keys", type=int, default=0, metavar="N")
        rotate.add_argument(f"--{role}-threshold", type=int, default=0, metavar="N")
    rotate.add_argument(
        "--drop", action="append", default=[], metavar="KEYID", help="a key that signs no more"
    )
    rotate.add_argument(
        "--new-online-keys",
        action="store_true",
        help="have the platform sign snapshot and timestamp with new keys",
    )
    rotate.add_argument("--root-days", type=int, default=ROOT_DAYS, metavar="N")
    rotate.add_argument("--targets-days", type=int, default=TARGETS_DAYS, metavar="N")
    rotate.add_argument("--yes", action="store_true", help="do not ask")


def _verb(
    verbs: Any,
    common: argparse.ArgumentParser,
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, parents=[common])
    parser.add_argument("--keys", type=Path, default=Path(DEFAULT), metavar="DIR")
    parser.add_argument(
        "--key-file", type=Path, action="append", default=[], metavar="FILE",
        help="a further key, such as a colleague's",
    )  # fmt: skip
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE")
    parser.set_defaults(run=run)
    return parser


def _folder(options: argparse.Namespace) -> Folder:
    return Folder(options.keys, options.passphrase_file, options.key_file)


def _init(options: argparse.Namespace) -> int:
    client, folder = connect(options), _folder(options)
    status = client.post("signing:prepare")
    if status["is_published"]:
        raise CommandError("this organization has a root already: `fleetctl sign status`")
    root, targets = first_metadata(
        folder, status, root_days=options.root_days, targets_days=options.targets_days
    )
    _publish(client, folder, [root], targets)
    sys.stderr.write(
        f"Keys are in {options.keys}. Whoever has them and the passphrase signs for your devices;\n"
        "without them nothing can be signed again. Keep a copy of the folder offline.\n"
    )
    return _show_status(client, options)


def _release(options: argparse.Namespace) -> int:
    client, folder = connect(options), _folder(options)
    root, current = _believed(client, folder)
    release = _wanted(client, options.name, options.version)
    _compare_files(release, options.file)
    _show_release(release)
    signed = current.signed.targets
    if all(signed.get(each["path"]) == target_of(release, each) for each in release["targets"]):
        sys.stderr.write("signed already; `fleetctl sign renew` gives it a later end\n")
        return 0
    confirm(options, f"sign {options.name} {options.version}?")
    fresh = release_metadata(folder, root, current, release, days=options.targets_days)
    _publish(client, folder, [], fresh)
    sys.stderr.write(f"signed; targets {fresh.signed.version} until {fresh.signed.expires:%F}\n")
    return 0


def _renew(options: argparse.Namespace) -> int:
    client, folder = connect(options), _folder(options)
    root, current = _believed(client, folder)
    fresh = renewed(current, days=options.targets_days)
    sign(fresh, _keys(folder, root.signed, "targets"))
    _publish(client, folder, [], fresh)
    return _show_status(client, options)


def _rotate(options: argparse.Namespace) -> int:
    client, folder = connect(options), _folder(options)
    root, targets = _believed(client, folder)
    before = {role: signers_of(root.signed, role) for role in ("root", "targets")}
    old = folder.keys_for("root", before["root"].publics, before["root"].threshold)
    dropped = [root.signed.keys[i].keyval["public"] for i in options.drop if i in root.signed.keys]
    if len(dropped) != len(options.drop):
        raise UsageError("--drop names a key that is not in the root: `fleetctl sign status`")
    question = f"publish root {root.signed.version + 1} of this organization?"
    confirm(options, question)
    after = {role: _next_signers(options, folder, role, before[role], dropped) for role in before}
    status = _online_keys(client, is_new=options.new_online_keys)
    believe_platform(root.signed, status, is_new=options.new_online_keys)
    version = root.signed.version + 1
    fresh = make_root(status, after, version=version, days=options.root_days)
    sign(fresh, _distinct([*old, *_enough(folder, "root", after["root"])]))
    new_targets = None
    if after["targets"] != before["targets"]:
        new_targets = renewed(targets, days=options.targets_days)
        sign(new_targets, _enough(folder, "targets", after["targets"]))
    _publish(client, folder, [fresh], new_targets)
    return _show_status(client, options)


def _online_keys(client: Client, *, is_new: bool) -> dict[str, Any]:
    """What the next root says of the platform's keys."""
    if not is_new:
        return client.get("signing")
    status = client.post("signing:renew-keys")
    return {**status, **{f"{n}_key": status[f"next_{n}_key"] for n in ("snapshot", "timestamp")}}


def _next_signers(
    options: argparse.Namespace, folder: Folder, role: str, before: Signers, dropped: list[str]
) -> Signers:
    made = folder.new_keys(role, getattr(options, f"new_{role}_keys"))
    publics = [p for p in before.publics if p not in dropped] + [public_half(k) for k in made]
    threshold = getattr(options, f"{role}_threshold") or before.threshold
    if not 1 <= threshold <= len(publics):
        raise UsageError(f"{role} would have {len(publics)} keys, and need {threshold} of them")
    return Signers(publics, threshold)


def _status(options: argparse.Namespace) -> int:
    return _show_status(connect(options), options)


def _show_status(client: Client, options: argparse.Namespace) -> int:
    status = client.get("signing")
    if options.output == "json":
        show_one(status, "json")
        return 0
    rows = [{**role, "key_count": len(role["keys"])} for role in status["roles"]]
    show_list(rows, ROLES, "table")
    for role in status["roles"][:2]:
        for key in role["keys"]:
            sys.stdout.write(f"{role['role']} key {key['id']}\n")
    if status.get("next_snapshot_key"):
        sys.stdout.write("new platform keys wait: fleetctl sign rotate --new-online-keys\n")
    sys.stdout.write(f"unsigned releases: {status['unsigned_releases']}\n")
    if status["allows_unsigned"]:
        sys.stdout.write("INSECURE: unsigned releases are allowed (updates.allow_unsigned)\n")
    return 0


def _believed(client: Client, folder: Folder) -> tuple[Metadata[Root], Metadata[Targets]]:
    """The server's root and targets, as far as what lies here vouches for them."""
    root = folder.root()
    newest = _fetch(client, "root.json")
    versions = range(root.signed.version + 1, newest.signed.version + 1)
    root = follow(root, [_fetch(client, f"{version}.root.json") for version in versions])
    if newest.signed.version < root.signed.version:
        raise NotBelieved(f"the server has root {newest.signed.version}; a newer one was signed")
    targets = believe_targets(root, folder.load("targets"), _fetch(client, "targets.json"))
    folder.keep("root", root)
    folder.keep("targets", targets)
    return root, targets


def _fetch(client: Client, name: str) -> Metadata[Any]:
    try:
        return Metadata.from_dict(client.get(f"signing/metadata/{name}"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"the server's {name} is no metadata: {error}") from error


def _publish(
    client: Client, folder: Folder, roots: list[Metadata[Root]], targets: Metadata[Targets] | None
) -> None:
    """Hands in, then keeps: what lies here is what the server has taken."""
    body: dict[str, Any] = {"roots": [text_of(root) for root in roots]}
    if targets is not None:
        body["targets"] = text_of(targets)
    client.post("signing:publish", body)
    for root in roots:
        folder.keep("root", root)
    if targets is not None:
        folder.keep("targets", targets)


def _wanted(client: Client, name: str, version: str) -> dict[str, Any]:
    """What the server wants signed of a release; descriptions are read, not taken as they are."""
    for release in client.pages("releases", sys.maxsize):
        if (release["name"], release["version"]) == (name, version):
            found: dict[str, Any] = client.get(f"releases/{quoted(release['id'])}/targets")
            try:
                return _read_release(found, name, version)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise NotBelieved(f"what the server wants signed is unreadable: {error}") from error
    raise CommandError(f"there is no release {name} {version}")


def _read_release(release: dict[str, Any], name: str, version: str) -> dict[str, Any]:
    for target in release["targets"]:
        target["description"] = json.loads(target["description"])
        target["position"] = int(target.get("position") or 0)
        target["length"] = int(target["length"])
    _check_release(release, name, version)
    return release


def _check_release(release: dict[str, Any], name: str, version: str) -> None:
    """What is shown and what is signed say the same."""
    if (release["release_name"], release["release_version"]) != (name, version):
        raise NotBelieved("the server answered with another release")
    for place, target in enumerate(release["targets"]):
        told = target["description"]
        same = (
            target["path"] == target_path(name, version, target["component"]),
            (target["position"], target["count"]) == (place, len(release["targets"])),
            told["name"] == target["component"],
            told["version"] == version,
            told["sha256"] == target["sha256"],
            told["size_bytes"] == str(target["length"]),
        )
        if not all(same):
            raise NotBelieved(f"the server contradicts itself about {target['component']}")


def _compare_files(release: dict[str, Any], pairs: list[str]) -> None:
    by_name = {target["component"]: target for target in release["targets"]}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if name not in by_name:
            raise UsageError(f"--file: the release has no component {name!r}")
        try:
            with Path(path).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        if found != by_name[name]["sha256"]:
            raise NotBelieved(f"{path} is not what the server has as {name}; nothing was signed")
        sys.stderr.write(f"{name}: the same as {path}\n")


def _show_release(release: dict[str, Any]) -> None:
    """All that a signature stands for, commands above all."""
    show_list(release["targets"], TARGETS, "table")
    for target in release["targets"]:
        left_out = ("name", "version", "sha256", "size_bytes")
        told = {k: v for k, v in target["description"].items() if k not in left_out}
        shown = json.dumps(told, ensure_ascii=True, sort_keys=True)
        sys.stdout.write(f"{target['component'].encode('unicode_escape').decode()}: {shown}\n")


def _keys(folder: Folder, root: Root, role: str) -> list[OfflineKey]:
    return _enough(folder, role, signers_of(root, role))


def _enough(folder: Folder, role: str, signers: Signers) -> list[OfflineKey]:
    return folder.keys_for(role, signers.publics, signers.threshold)


def _distinct(keys: list[OfflineKey]) -> list[OfflineKey]:
    return list({public_half(key): key for key in keys}.values())
