"""Root and targets metadata as the key holder makes them, and what is believed of a server's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Role, Root, TargetFile, Targets

from fleetctl.errors import CommandError
from fleetctl.sign.keys import OfflineKey, public_key

EXTENSION = "x-fleetd"
ROOT_DAYS, TARGETS_DAYS = 365, 90


class NotBelieved(CommandError):
    """What the server sent contradicts what was signed before."""


@dataclass(frozen=True)
class Signers:
    """Who may sign a role: public keys, and how many of them it takes."""

    publics: Sequence[str]
    threshold: int = 1


def make_root(
    status: Mapping[str, Any],
    signers: Mapping[str, Signers],
    *,
    version: int = 1,
    days: int = ROOT_DAYS,
) -> Metadata[Root]:
    """An unsigned root: `signers` for root and targets, the platform's keys for the rest."""
    root = Root(version=version, expires=_in(days), consistent_snapshot=True)
    for role, who in signers.items():
        root.roles[role] = Role([], who.threshold)
        for public in who.publics:
            root.add_key(public_key(public), role)
    for role in ("snapshot", "timestamp"):
        root.add_key(public_key(status[f"{role}_key"]["public_key"]), role)
    instruction = public_key(status["instruction_key"]["public_key"])
    root.unrecognized_fields[EXTENSION] = {
        "organization_id": status["organization_id"],
        "instruction_keys": {instruction.keyid: instruction.to_dict()},
    }
    return Metadata(root)


def believe_platform(root: Root, status: Mapping[str, Any], *, is_new: bool) -> None:
    """Raises `NotBelieved` where the next root would be for others than the one that is trusted.

    The organization and the key of instructions stay; those of snapshot and timestamp change only
    where the signer wants that. Otherwise a broken server could have keys of its own confirmed in a
    root that only was to get a later end.
    """
    told = root.unrecognized_fields.get(EXTENSION)
    held: Any = told if isinstance(told, Mapping) else {}
    instruction = public_key(status["instruction_key"]["public_key"])
    if status["organization_id"] != held.get("organization_id"):
        raise NotBelieved("the server names another organization than the root that you signed")
    if {instruction.keyid: instruction.to_dict()} != held.get("instruction_keys"):
        raise NotBelieved("the server names another key of instructions than the root has")
    for role in ("snapshot", "timestamp"):
        if not is_new and [status[f"{role}_key"]["public_key"]] != signers_of(root, role).publics:
            message = f"the server names another {role} key than the root has"
            raise NotBelieved(f"{message}; only `rotate --new-online-keys` changes it")


def target_path(release: str, version: str, component: str) -> str:
    """What a component's file is called in targets, as the platform and devices have it."""
    return "/".join(quote(part, safe="") for part in (release, version, component))


def signers_of(root: Root, role: str) -> Signers:
    """Who signs a role now."""
    held = root.roles[role]
    return Signers([root.keys[i].keyval["public"] for i in held.keyids], held.threshold)


def make_targets(*, days: int = TARGETS_DAYS) -> Metadata[Targets]:
    """Unsigned targets that name nothing yet."""
    return Metadata(Targets(version=1, expires=_in(days)))


def with_release(
    current: Metadata[Targets], release: Mapping[str, Any], *, days: int = TARGETS_DAYS
) -> Metadata[Targets]:
    """The next version of targets, unsigned, with every file of a release.

    `release` is what the server wants signed. Whatever it says of digests of descriptions is
    computed again from the descriptions, which the signer has been shown.
    """
    fresh = renewed(current, days=days)
    for wanted in release["targets"]:
        fresh.signed.targets[wanted["path"]] = target_of(release, wanted)
    return fresh


def renewed(current: Metadata[Targets], *, days: int = TARGETS_DAYS) -> Metadata[Targets]:
    """The next version of the same targets, unsigned."""
    fresh: Metadata[Targets] = Metadata.from_bytes(current.to_bytes())
    fresh.signatures.clear()
    fresh.signed.version += 1
    fresh.signed.expires = _in(days)
    return fresh


def target_of(release: Mapping[str, Any], wanted: Mapping[str, Any]) -> TargetFile:
    """One file of a release as targets name it."""
    custom = {
        "release": release["release_name"],
        "version": release["release_version"],
        "component": wanted["component"],
        "position": wanted["position"],
        "count": wanted["count"],
        "description": description_digest(wanted["description"]),
    }
    hashes = {"sha256": wanted["sha256"]}
    return TargetFile(wanted["length"], hashes, wanted["path"], {"custom": custom})


def description_digest(description: Mapping[str, Any]) -> str:
    """SHA-256 of a description in canonical JSON."""
    return sha256(str(encode_canonical(dict(description))).encode()).hexdigest()


def sign(metadata: Metadata[Any], keys: Iterable[OfflineKey]) -> None:
    """Adds the keys' signatures."""
    for key in keys:
        metadata.sign(key.signer, append=True)


def text_of(metadata: Metadata[Any]) -> str:
    """As it is uploaded and kept."""
    return metadata.to_bytes().decode()


def follow(trusted: Metadata[Root], newer: Iterable[Metadata[Root]]) -> Metadata[Root]:
    """The last of a chain of roots, each signed by the one before and by itself."""
    for root in newer:
        result = root.signed.get_root_verification_result(
            trusted.signed, root.signed_bytes, root.signatures
        )
        if not result:
            version = root.signed.version
            raise NotBelieved(f"root {version} of the server is not signed by the keys before it")
        trusted = root
    return trusted


def believe_targets(
    root: Metadata[Root], known: Metadata[Targets] | None, offered: Metadata[Targets]
) -> Metadata[Targets]:
    """The server's targets, if the root's keys have signed them and they are not older than known.

    Otherwise a server could let a signer confirm a state that was never signed, or a past one.
    """
    try:
        root.signed.verify_delegate("targets", offered.signed_bytes, offered.signatures)
    except RepositoryError as error:
        raise NotBelieved(f"the server's targets are not signed by your keys: {error}") from error
    if known is None:
        return offered
    if offered.signed.version < known.signed.version:
        raise NotBelieved(
            f"the server has targets {offered.signed.version}; {known.signed.version} was signed"
        )
    is_same = offered.signed.version == known.signed.version
    if is_same and offered.signed_bytes != known.signed_bytes:
        raise NotBelieved("the server's targets differ from those that were signed here")
    return offered


def _in(days: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
