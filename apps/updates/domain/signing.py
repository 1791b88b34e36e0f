"""TUF metadata of an organization: what is accepted from those who hold its keys, and what the
platform signs itself.

The specification is TUF 1.0.34, the library python-tuf. Root and targets are signed on the
customer's machine; nothing here can make them. Everything that comes in is hostile until checked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import SerializationError

MAX_BYTES = {"root": 256_000, "targets": 1_500_000}
"""Well within what python-tuf reads: 512,000 of a root, 5,000,000 of targets."""
MAX_ROOTS = 16
MAX_KEYS = 20
MAX_TARGETS = 4000
SNAPSHOT_LIFE, TIMESTAMP_LIFE = timedelta(days=7), timedelta(days=1)
REFRESH_EVERY = timedelta(hours=6)
ONLINE_ROLES = ("snapshot", "timestamp")
OFFLINE_ROLES = ("root", "targets")
# What fleetd adds to a root: whose it is, and with which key instructions are signed.
EXTENSION = "x-fleetd"

_KEY_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PATH_PART = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~%+-]{1,300}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

S = TypeVar("S", Root, Targets)


class BadMetadata(ValueError):
    """Metadata that is refused: a stable code, and why."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class OnlineKeys:
    """The public halves, as 64 hex digits, of what the platform signs with."""

    snapshot: str
    timestamp: str
    instruction: str

    def all(self) -> frozenset[str]:
        """All three."""
        return frozenset({self.snapshot, self.timestamp, self.instruction})


def read_root(text: str) -> Metadata[Root]:
    """The root that `text` holds; its signatures are still to be verified."""
    found = _read(text, "root", Root)
    _check_keys(found.signed)
    return found


def read_targets(text: str) -> Metadata[Targets]:
    """The targets that `text` holds; their signatures are still to be verified."""
    found = _read(text, "targets", Targets)
    if found.signed.delegations is not None:
        raise BadMetadata("delegations_refused", "Targets may not be delegated to other roles.")
    if len(found.signed.targets) > MAX_TARGETS:
        raise BadMetadata("metadata_too_large", f"At most {MAX_TARGETS} targets are taken.")
    for path, target in found.signed.targets.items():
        _check_target(path, target)
    return found


def check_root(
    root: Metadata[Root],
    previous: Metadata[Root] | None,
    *,
    organization_id: str,
    online: OnlineKeys,
    now: datetime,
) -> None:
    """Raises `BadMetadata` unless `root` follows `previous`, signed by both, for our online keys.

    Without a previous one it has to be version 1, signed by itself.
    """
    _check_version("root", root.signed.version, previous.signed.version if previous else 0)
    _check_expiry("root", root.signed, now)
    _check_signatures("root", root.signed, root)
    if previous is not None:
        _check_signatures("root", previous.signed, root)
    _check_online(root.signed, online)
    _check_extension(root.signed, organization_id, online)


def check_targets(
    targets: Metadata[Targets], root: Metadata[Root], current_version: int, now: datetime
) -> None:
    """Raises `BadMetadata` unless `targets` is the next version, signed by `root`'s keys."""
    _check_version("targets", targets.signed.version, current_version)
    _check_expiry("targets", targets.signed, now)
    _check_signatures("targets", root.signed, targets)


def check_still_signed(targets: Metadata[Targets], root: Metadata[Root]) -> None:
    """Raises `BadMetadata` where a new root no longer trusts the targets that are published."""
    try:
        _check_signatures("targets", root.signed, targets)
    except BadMetadata as error:
        message = "The new root changes who signs targets: send targets signed by the new keys too."
        raise BadMetadata("targets_not_signed_by_new_root", message) from error


def make_snapshot(version: int, targets: str, key: bytes, now: datetime) -> str:
    """A signed snapshot that names these targets. `key` has the 32 bytes of the private half."""
    meta = {"targets.json": _described(targets)}
    expires = _seconds(now + SNAPSHOT_LIFE)
    return _sign(Metadata(Snapshot(version=version, expires=expires, meta=meta)), key)


def make_timestamp(version: int, snapshot: str, key: bytes, now: datetime) -> str:
    """A signed timestamp that names this snapshot."""
    expires = _seconds(now + TIMESTAMP_LIFE)
    made = Timestamp(version=version, expires=expires, snapshot_meta=_described(snapshot))
    return _sign(Metadata(made), key)


def public_half(key: bytes) -> str:
    """The public half, as 64 hex digits, of a private Ed25519 key of 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw().hex()


def key_id(public: str) -> str:
    """What the platform calls one of its online keys in metadata."""
    return ed25519_key(public).keyid


def ed25519_key(public: str) -> SSlibKey:
    """A public key in the form of TUF metadata."""
    value = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
    canonical = _canonical(value)
    return SSlibKey(sha256(canonical).hexdigest(), "ed25519", "ed25519", {"public": public})


def _canonical(value: Any) -> bytes:
    return str(encode_canonical(value)).encode()


def _read(text: str, role: str, kind: type[S]) -> Metadata[S]:
    raw = text.encode()
    if len(raw) > MAX_BYTES[role]:
        message = f"{role.capitalize()} has at most {MAX_BYTES[role]} bytes."
        raise BadMetadata("metadata_too_large", message)
    if "PRIVATE KEY" in text or '"private"' in text:
        raise BadMetadata("private_key_sent", "A private key does not belong here. Replace it now.")
    try:
        found: Any = Metadata.from_bytes(raw)
        found.signed_bytes  # noqa: B018 - fails on what canonical JSON cannot hold, such as 1.5
    except (RepositoryError, SerializationError, ValueError, RecursionError) as error:
        cause = error.__cause__ or error
        message = f"This is no metadata of TUF: {cause}"[:300]
        raise BadMetadata("metadata_unreadable", message) from error
    if not isinstance(found.signed, kind):
        message = f"{role.capitalize()} was expected, {found.signed.type!r} came."
        raise BadMetadata("metadata_wrong_role", message)
    return found


def names_snapshot_key(root: Root, public: str) -> bool:
    """Whether `root` has snapshots signed by this key."""
    return any(root.keys[i].keyval["public"] == public for i in root.roles["snapshot"].keyids)


def _check_version(role: str, version: int, current: int) -> None:
    if version <= current:
        message = f"Version {current} of {role} is published; {version} is not newer."
        raise BadMetadata("metadata_rolled_back", message)
    if version != current + 1:
        message = f"Version {current + 1} of {role} is next, not {version}."
        raise BadMetadata("metadata_version_gap", message)


def _check_expiry(role: str, signed: Signed, now: datetime) -> None:
    if signed.is_expired(now):
        message = f"{role.capitalize()} {signed.version} has expired at {signed.expires}."
        raise BadMetadata("metadata_expired", message)


def _check_signatures(role: str, delegator: Root, metadata: Metadata[Any]) -> None:
    """Enough of the keys that `delegator` names for `role` have signed."""
    try:
        result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise BadMetadata("metadata_not_signed", str(error)) from error
    if not result:
        message = (
            f"{role.capitalize()} {metadata.signed.version} needs {result.threshold} signatures of "
            f"the keys in root {delegator.version}; {len(result.signed)} are good."
        )
        raise BadMetadata("metadata_not_signed", message)


def _check_keys(root: Root) -> None:
    """Ed25519 only, each key once, and thresholds that the keys can reach."""
    if root.consistent_snapshot is not True:
        raise BadMetadata("root_unsuitable", "The root has to demand consistent snapshots.")
    if not 0 < len(root.keys) <= MAX_KEYS:
        raise BadMetadata("root_unsuitable", f"A root has 1 to {MAX_KEYS} keys.")
    publics = [_public_of(key) for key in root.keys.values()]
    if len(set(publics)) != len(publics):
        raise BadMetadata("root_unsuitable", "A key stands in the root under two names.")
    for name, role in root.roles.items():
        if not set(role.keyids) <= set(root.keys):
            raise BadMetadata("root_unsuitable", f"A key of {name} is missing.")
        if not 1 <= role.threshold <= len(role.keyids):
            raise BadMetadata("root_unsuitable", f"The threshold of {name} cannot be reached.")


def _public_of(key: Key) -> str:
    public = key.keyval.get("public", "") if isinstance(key.keyval, Mapping) else ""
    is_plain = isinstance(public, str) and _SHA256.fullmatch(public) is not None
    is_known = (key.keytype, key.scheme) == ("ed25519", "ed25519")
    if not is_plain or not is_known or set(key.keyval) != {"public"}:
        raise BadMetadata("root_unsuitable", "Keys are Ed25519, with their public half only.")
    if _KEY_ID.fullmatch(key.keyid) is None:
        raise BadMetadata("root_unsuitable", "The id of a key has 64 hex digits.")
    return public


def _check_online(root: Root, online: OnlineKeys) -> None:
    """Snapshot and timestamp by the platform's keys, root and targets by none of them."""
    held = {name: {root.keys[i].keyval["public"] for i in r.keyids} for name, r in _roles(root)}
    if held["snapshot"] != {online.snapshot} or held["timestamp"] != {online.timestamp}:
        message = "Snapshot and timestamp have to be signed by this platform's keys, and no other."
        raise BadMetadata("root_wrong_online_keys", message)
    if (held["root"] | held["targets"]) & online.all():
        message = "A key that this platform holds may not sign root or targets."
        raise BadMetadata("root_trusts_platform", message)


def _roles(root: Root) -> list[tuple[str, Any]]:
    return [(name, root.roles[name]) for name in (*OFFLINE_ROLES, *ONLINE_ROLES)]


def _check_extension(root: Root, organization_id: str, online: OnlineKeys) -> None:
    """The root says whose it is, and names the key of instructions."""
    wanted = extension_of(organization_id, online)
    if root.unrecognized_fields != {EXTENSION: wanted}:
        message = (
            f"Besides the fields of TUF the root holds {EXTENSION!r}, with this organization and "
            "this platform's key for instructions; nothing else."
        )
        raise BadMetadata("root_unsuitable", message)


def extension_of(organization_id: str, online: OnlineKeys) -> dict[str, Any]:
    """What a root of this organization holds under `x-fleetd`."""
    key = ed25519_key(online.instruction)
    return {"organization_id": organization_id, "instruction_keys": {key.keyid: key.to_dict()}}


def _check_target(path: str, target: TargetFile) -> None:
    parts = path.split("/")
    if len(path) > 800 or not all(_PATH_PART.fullmatch(part) for part in parts):
        raise BadMetadata("target_path_refused", f"{path[:100]!r} is no path that is taken.")
    digest = target.hashes.get("sha256", "")
    if set(target.hashes) != {"sha256"} or _SHA256.fullmatch(digest) is None:
        raise BadMetadata("target_refused", f"{path[:100]} needs its SHA-256, and no other hash.")
    if not 0 < target.length < 2**63:
        raise BadMetadata("target_refused", f"{path[:100]} has no length.")


def _described(text: str) -> MetaFile:
    raw = text.encode()
    version = Metadata.from_bytes(raw).signed.version
    return MetaFile(version=version, length=len(raw), hashes={"sha256": sha256(raw).hexdigest()})


def _seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _sign(metadata: Metadata[Any], key: bytes) -> str:
    private = Ed25519PrivateKey.from_private_bytes(key)
    public = private.public_key().public_bytes_raw().hex()
    metadata.sign(CryptoSigner(private, ed25519_key(public)))
    return metadata.to_bytes().decode()


def describe_component(fields: Mapping[str, Any]) -> dict[str, Any]:
    """All that a device is told of a component, as what is signed says it.

    The form is the JSON mapping of `internal.agent.v1.Component` with the names of the proto, but
    for `url` and `target_path`; what is empty or zero is left out at every depth, and the size is
    text. A field that is added to the offer is in it by itself, so that no command or option can
    go unsigned.
    """
    flat = {**fields, **fields.get("hooks", {}), "size_bytes": str(fields["size_bytes"])}
    left_out = ("url", "target_path", "hooks")
    return dict(_pruned({name: v for name, v in flat.items() if name not in left_out}))


def _pruned(value: Any) -> Any:
    """Without what is empty or zero, as proto's JSON has it."""
    if isinstance(value, Mapping):
        pruned = {str(name): _pruned(item) for name, item in value.items()}
        return {name: item for name, item in pruned.items() if item}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_pruned(item) for item in value]
    return value


def description_digest(description: Mapping[str, Any]) -> str:
    """SHA-256 of the description in canonical JSON."""
    return sha256(_canonical(_plain(description))).hexdigest()


def _plain(value: Any) -> Any:
    """Dictionaries and lists instead of their kin, as canonical JSON wants them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def canonical_json(value: Any) -> bytes:
    """OLPC canonical JSON, which TUF signs."""
    return _canonical(_plain(value))


def target_path(release: str, version: str, component: str) -> str:
    """What a component's file is called in targets metadata: `release/version/component`."""
    return "/".join(quote(part, safe="") for part in (release, version, component))
