"""What releases are signed with, as REST and RPC offer it."""

import orjson

from apps.core.actors import Actor
from apps.core.public import id_of, operation, timestamp
from apps.updates.permissions import MANAGE_SIGNING, VIEW_RELEASES, VIEW_SIGNING
from apps.updates.selectors import signing as selectors
from apps.updates.selectors.signing import RoleStatus, SigningStatus, WantedTarget
from apps.updates.services import signing as services
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_SIGNING)
def get_signing_status(
    actor: Actor, request: pb.GetSigningStatusRequest
) -> pb.GetSigningStatusResponse:
    """What the organization's releases are signed with, and until when."""
    return pb.GetSigningStatusResponse(status=_status(selectors.get_signing_status(actor)))


@operation(MANAGE_SIGNING)
def prepare_signing(actor: Actor, request: pb.PrepareSigningRequest) -> pb.PrepareSigningResponse:
    """Makes the platform's keys for snapshot, timestamp and instructions, once."""
    return pb.PrepareSigningResponse(status=_status(services.prepare_signing(actor)))


@operation(MANAGE_SIGNING)
def renew_signing_keys(
    actor: Actor, request: pb.RenewSigningKeysRequest
) -> pb.RenewSigningKeysResponse:
    """Makes keys that follow the platform's own for snapshot and timestamp."""
    return pb.RenewSigningKeysResponse(status=_status(services.renew_signing_keys(actor)))


@operation(MANAGE_SIGNING)
def publish_signing_metadata(
    actor: Actor, request: pb.PublishSigningMetadataRequest
) -> pb.PublishSigningMetadataResponse:
    """Takes root and targets metadata that were signed elsewhere, all or nothing."""
    status = services.publish_signing_metadata(
        actor, roots=list(request.roots), targets=request.targets
    )
    return pb.PublishSigningMetadataResponse(status=_status(status))


@operation(VIEW_RELEASES)
def get_release_targets(
    actor: Actor, request: pb.GetReleaseTargetsRequest
) -> pb.GetReleaseTargetsResponse:
    """What has to stand in signed targets for devices to install a release."""
    release, targets = selectors.get_release_targets(actor, id_of(request.release_id))
    return pb.GetReleaseTargetsResponse(
        release_name=release.name,
        release_version=release.version,
        targets=[_target(each) for each in targets],
        is_signed=all(each.is_signed for each in targets),
    )


def _status(status: SigningStatus) -> pb.SigningStatus:
    message = pb.SigningStatus(
        organization_id=str(status.organization_id),
        is_prepared=status.is_prepared,
        is_published=status.is_published,
        allows_unsigned=status.allows_unsigned,
        roles=[_role(each) for each in status.roles],
        repository_url=status.repository_url,
        unsigned_releases=status.unsigned_releases,
    )
    if status.online is not None:
        message.snapshot_key.CopyFrom(_key(status.online.snapshot))
        message.timestamp_key.CopyFrom(_key(status.online.timestamp))
        message.instruction_key.CopyFrom(_key(status.online.instruction))
    if status.next_online is not None:
        message.next_snapshot_key.CopyFrom(_key(status.next_online.snapshot))
        message.next_timestamp_key.CopyFrom(_key(status.next_online.timestamp))
    return message


def _role(role: RoleStatus) -> pb.SigningRoleStatus:
    return pb.SigningRoleStatus(
        role=role.role,
        version=role.version,
        expires_at=timestamp(role.expires_at),
        threshold=role.threshold,
        keys=[pb.SigningKey(id=each.id, public_key=each.public) for each in role.keys],
    )


def _key(public: str) -> pb.SigningKey:
    key = selectors.online_key(public)
    return pb.SigningKey(id=key.id, public_key=key.public)


def _target(target: WantedTarget) -> pb.SigningTarget:
    return pb.SigningTarget(
        path=target.path,
        sha256=target.sha256,
        length=target.length,
        component=target.component,
        position=target.position,
        count=target.count,
        description=orjson.dumps(target.description, option=orjson.OPT_SORT_KEYS).decode(),
        description_sha256=target.description_sha256,
        is_signed=target.is_signed,
    )
