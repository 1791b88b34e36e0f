"""Manifests of rollouts, as REST and RPC offer them."""

from apps.core.actors import Actor
from apps.core.public import id_of, operation
from apps.updates.messages import rollout_message
from apps.updates.permissions import CREATE_ROLLOUT, VIEW_ROLLOUTS
from apps.updates.selectors.manifests import export_manifest
from apps.updates.services.manifests import create_from_manifest
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(CREATE_ROLLOUT)
def create_rollout_from_manifest(
    actor: Actor, request: pb.CreateRolloutFromManifestRequest
) -> pb.CreateRolloutFromManifestResponse:
    """Plans the rollout that a manifest says, as a draft, with the release that it needs.

    With `validate_only` the same runs and nothing is stored; the phases of the answer count the
    devices that they would have now.
    """
    rollout = create_from_manifest(actor, request.manifest, validate_only=request.validate_only)
    return pb.CreateRolloutFromManifestResponse(rollout=rollout_message(actor, rollout))


@operation(VIEW_ROLLOUTS)
def export_rollout_manifest(
    actor: Actor, request: pb.ExportRolloutManifestRequest
) -> pb.ExportRolloutManifestResponse:
    """The canonical manifest of a rollout, which reads back as the same plan."""
    text = export_manifest(actor, id_of(request.rollout_id))
    return pb.ExportRolloutManifestResponse(manifest=text)
