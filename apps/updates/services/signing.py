"""The TUF repository of an organization: what comes from its key holders, and what the platform
signs itself.

The private halves of root and targets keys are never here. With the platform's own keys one can
say what is newest, but name no file that a device would install.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from tuf.api.metadata import Metadata, Root, Targets

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import FieldError
from apps.core.sealing import seal, unseal
from apps.events.services.outbox import publish
from apps.updates.domain import signing as rules
from apps.updates.errors import (
    ReleaseNotSigned,
    SigningMetadataRefused,
    SigningNotPrepared,
)
from apps.updates.models import SigningMetadata, SigningRepository, SigningRole
from apps.updates.permissions import MANAGE_SIGNING, REFRESH_SIGNING
from apps.updates.selectors.signing import (
    SigningStatus,
    allows_unsigned,
    find_latest,
    find_repository,
    is_release_signed,
    next_keys_of,
    online_keys_of,
    reread_status,
)
from apps.updates.types import SigningMetadataPublished

# The key of instructions is not among them: devices hold instructions that it has signed.
RENEWED = ("snapshot", "timestamp")
_NEXT_FIELDS = [f"next_{name}_{half}" for name in RENEWED for half in ("key", "public")]
PURPOSES = {role: f"updates.signing.{role}" for role in ("snapshot", "timestamp", "instruction")}
SNAPSHOT_RENEWED_AFTER = timedelta(days=3)
# Clients fetch a snapshot that a timestamp of some minutes ago named.
KEPT_VERSIONS = 16


def prepare_signing(actor: Actor) -> SigningStatus:
    """Makes the platform's keys for snapshot, timestamp and instructions, once per organization.

    Nothing is signed with them before a root that names them is published. Repeating it changes
    nothing.
    """
    require(actor, MANAGE_SIGNING)
    _lock(actor)
    if find_repository(actor.organization_id) is None:
        repository = _new_repository(actor)
        repository.save(force_insert=True)
        publics = {f"{name}_key": getattr(repository, f"{name}_public") for name in PURPOSES}
        record(actor, "updates.prepare_signing", repository, changes=publics)
    return reread_status(actor)


def renew_signing_keys(actor: Actor) -> SigningStatus:
    """Makes the keys for snapshot and timestamp that follow the present ones.

    The present ones go on until a root that names the new ones is published. Repeating it before
    that changes nothing. Raises `SigningNotPrepared` where there is no root yet.
    """
    require(actor, MANAGE_SIGNING)
    _lock(actor)
    repository = find_repository(actor.organization_id)
    if repository is None or repository.published_at is None:
        raise SigningNotPrepared
    if not repository.next_snapshot_public:
        for name in RENEWED:
            key = Ed25519PrivateKey.generate().private_bytes_raw()
            setattr(repository, f"next_{name}_key", seal(key, purpose=PURPOSES[name]))
            setattr(repository, f"next_{name}_public", rules.public_half(key))
        repository.save(update_fields=_NEXT_FIELDS)
        publics = {f"{n}_key": getattr(repository, f"next_{n}_public") for n in RENEWED}
        record(actor, "updates.renew_signing_keys", repository, changes=publics)
    return reread_status(actor)


def publish_signing_metadata(
    actor: Actor, *, roots: Sequence[str] = (), targets: str = ""
) -> SigningStatus:
    """Takes root and targets metadata that were signed elsewhere, all or nothing.

    Roots come in order, each one version after the one before and signed by both. Snapshot and
    timestamp follow at once, by the keys that the last root names. What is published already is
    passed over. Raises `SigningMetadataRefused` with the reason, before anything is stored, and
    `SigningNotPrepared`.
    """
    require(actor, MANAGE_SIGNING)
    _lock(actor)
    repository = find_repository(actor.organization_id)
    if repository is None:
        raise SigningNotPrepared
    new_roots, new_targets = _judge(actor, repository, roots, targets)
    if not new_roots and new_targets is None:
        return reread_status(actor)
    for root in new_roots:
        _store(actor, SigningRole.ROOT, *root)
    if new_targets is not None:
        _store(actor, SigningRole.TARGETS, *new_targets)
    _take_over(repository, new_roots)
    _sign_snapshot(actor, repository)
    if repository.published_at is None:
        repository.published_at = clock.now()
        repository.save(update_fields=["published_at"])
    _tell(actor, repository, len(new_roots), new_targets is not None)
    return reread_status(actor)


def refresh_signing(actor: Actor) -> bool:
    """Signs snapshot and timestamp anew in good time; True where one was due. For the worker."""
    require(actor, REFRESH_SIGNING)
    _lock(actor)
    repository = find_repository(actor.organization_id)
    if repository is None or repository.published_at is None:
        return False
    now = clock.now()
    snapshot = find_latest(actor.organization_id, SigningRole.SNAPSHOT)
    timestamp = find_latest(actor.organization_id, SigningRole.TIMESTAMP)
    if snapshot is None or now - snapshot.created_at >= SNAPSHOT_RENEWED_AFTER:
        _sign_snapshot(actor, repository)
    elif timestamp is None or now - timestamp.created_at >= rules.REFRESH_EVERY:
        _sign_timestamp(actor, repository, snapshot.content)
    else:
        return False
    record(actor, "updates.refresh_signing", repository)
    return True


def require_signed(actor: Actor, release_id: UUID) -> None:
    """Raises `ReleaseNotSigned` unless the signed targets name every component of the release.

    Where the organization allows unsigned releases, for a trial, everything passes. For a service
    that has asked for its own permission.
    """
    if not allows_unsigned(actor.organization_id) and not is_release_signed(actor, release_id):
        raise ReleaseNotSigned(data={"release_id": str(release_id)})


def private_key(actor: Actor, repository: SigningRepository, name: str) -> bytes:
    """The private half of one of the platform's keys."""
    return unseal(getattr(repository, f"{name}_key"), purpose=PURPOSES[name])


def _new_repository(actor: Actor) -> SigningRepository:
    fields: dict[str, str] = {}
    for name, purpose in PURPOSES.items():
        key = Ed25519PrivateKey.generate().private_bytes_raw()
        fields |= {f"{name}_key": seal(key, purpose=purpose)}
        fields |= {f"{name}_public": rules.public_half(key)}
    return SigningRepository(
        organization_id=actor.organization_id, created_at=clock.now(), **fields
    )


Judged = tuple[str, Metadata[Any]]


def _judge(
    actor: Actor, repository: SigningRepository, roots: Sequence[str], targets: str
) -> tuple[list[Judged], Judged | None]:
    """What of this is new, and nothing that clients would refuse."""
    if len(roots) > rules.MAX_ROOTS:
        raise _refused("roots", "too_many_roots", f"At most {rules.MAX_ROOTS} roots at once.")
    root, new_roots = _judge_roots(actor, repository, roots)
    current = find_latest(actor.organization_id, SigningRole.TARGETS)
    if targets and not (current and current.content == targets):
        return new_roots, (targets, _judge_targets(root, targets, current))
    if current is None:
        raise _refused("targets", "targets_missing", "The first root comes with targets.")
    if new_roots:
        with _Field("roots"):
            rules.check_still_signed(Metadata[Targets].from_bytes(current.content.encode()), root)
    return new_roots, None


def _judge_roots(
    actor: Actor, repository: SigningRepository, roots: Sequence[str]
) -> tuple[Metadata[Root], list[Judged]]:
    known = find_latest(actor.organization_id, SigningRole.ROOT)
    published = {known.content} if known else set()
    last = Metadata[Root].from_bytes(known.content.encode()) if known else None
    new: list[Judged] = []
    for place, text in enumerate(roots):
        if text in published:
            continue
        with _Field(f"roots.{place}"):
            found = rules.read_root(text)
            rules.check_root(
                found,
                last,
                organization_id=str(actor.organization_id),
                online=_online_of(repository, found),
                now=clock.now(),
            )
        new.append((text, found))
        last = found
    if last is None:
        raise _refused("roots", "root_missing", "There is no root yet: send version 1.")
    return last, new


def _online_of(repository: SigningRepository, root: Metadata[Root]) -> rules.OnlineKeys:
    """The keys of ours that this root may name: the next ones where it names them."""
    following = next_keys_of(repository)
    if following and rules.names_snapshot_key(root.signed, following.snapshot):
        return following
    return online_keys_of(repository)


def _take_over(repository: SigningRepository, roots: Sequence[Judged]) -> None:
    """From now on the next keys sign, where the last of these roots names them."""
    following = next_keys_of(repository)
    if not roots or not following:
        return
    if not rules.names_snapshot_key(roots[-1][1].signed, following.snapshot):
        return
    for name in RENEWED:
        for half in ("key", "public"):
            setattr(repository, f"{name}_{half}", getattr(repository, f"next_{name}_{half}"))
            setattr(repository, f"next_{name}_{half}", "")
    repository.save(update_fields=[*_NEXT_FIELDS, *(f[5:] for f in _NEXT_FIELDS)])


def _judge_targets(
    root: Metadata[Root], text: str, current: SigningMetadata | None
) -> Metadata[Targets]:
    with _Field("targets"):
        found = rules.read_targets(text)
        rules.check_targets(found, root, current.version if current else 0, clock.now())
    return found


class _Field:
    """Turns what the rules refuse into the error that names the field."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, rules.BadMetadata):
            raise _refused(self._name, error.code, error.message) from error


def _refused(field: str, code: str, message: str) -> SigningMetadataRefused:
    fields = [FieldError(field, code, message)]
    return SigningMetadataRefused(message, data={"reason": code}, fields=fields)


def _sign_snapshot(actor: Actor, repository: SigningRepository) -> None:
    targets = find_latest(actor.organization_id, SigningRole.TARGETS)
    if targets is None:
        raise SigningNotPrepared
    version = _next(actor, SigningRole.SNAPSHOT)
    key = private_key(actor, repository, "snapshot")
    text = rules.make_snapshot(version, targets.content, key, clock.now())
    _store(actor, SigningRole.SNAPSHOT, text, Metadata.from_bytes(text.encode()))
    _sign_timestamp(actor, repository, text)


def _sign_timestamp(actor: Actor, repository: SigningRepository, snapshot: str) -> None:
    version = _next(actor, SigningRole.TIMESTAMP)
    key = private_key(actor, repository, "timestamp")
    text = rules.make_timestamp(version, snapshot, key, clock.now())
    _store(actor, SigningRole.TIMESTAMP, text, Metadata.from_bytes(text.encode()))
    _forget_old(actor)


def _next(actor: Actor, role: SigningRole) -> int:
    latest = find_latest(actor.organization_id, role)
    return latest.version + 1 if latest else 1


def _store(actor: Actor, role: SigningRole, text: str, metadata: Metadata[Any]) -> None:
    SigningMetadata(
        organization_id=actor.organization_id,
        role=role.value,
        version=metadata.signed.version,
        content=text,
        expires_at=metadata.signed.expires,
        created_at=clock.now(),
        created_by=actor.label[:254],
    ).save(force_insert=True)


def _forget_old(actor: Actor) -> None:
    """Removes versions that no client asks for any more; roots stay for ever."""
    rows = SigningMetadata.objects.for_org(actor.organization_id)
    for role in (SigningRole.TARGETS, SigningRole.SNAPSHOT, SigningRole.TIMESTAMP):
        latest = find_latest(actor.organization_id, role)
        if latest is not None:
            rows.filter(role=role, version__lte=latest.version - KEPT_VERSIONS).delete()


def _tell(actor: Actor, repository: SigningRepository, roots: int, has_new_targets: bool) -> None:
    root = find_latest(actor.organization_id, SigningRole.ROOT)
    targets = find_latest(actor.organization_id, SigningRole.TARGETS)
    versions = {
        "root_version": root.version if root else 0,
        "targets_version": targets.version if targets else 0,
    }
    changes = {**versions, "new_roots": roots, "new_targets": has_new_targets}
    record(actor, "updates.publish_signing_metadata", repository, changes=changes)
    publish(actor, SigningMetadataPublished(**versions))


def _lock(actor: Actor) -> None:
    """One change of an organization's repository at a time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"signing:{actor.organization_id}"],
        )
