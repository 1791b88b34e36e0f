"""Rollouts as manifests."""

from uuid import UUID

from apps.core.actors import Actor
from apps.updates.domain.manifest import Manifest, ReleaseName, Selection, write_manifest
from apps.updates.domain.manifest.writing import CannotSay
from apps.updates.errors import ManifestCannotSay
from apps.updates.models import Rollout
from apps.updates.selectors.rollouts import get_rollout
from apps.updates.types import Target


def export_manifest(actor: Actor, rollout_id: UUID) -> str:
    """The canonical manifest of a rollout, which reads back as the same plan.

    Raises `ManifestCannotSay`, which names what no manifest can say.
    """
    rollout = get_rollout(actor, rollout_id)
    if rollout.rolls_back_id is not None:
        message = "A roll back gives each device a release of its own: no manifest can say that."
        raise ManifestCannotSay(message)
    try:
        return write_manifest(manifest_of(rollout))
    except CannotSay as error:
        raise ManifestCannotSay(f"A manifest cannot say: {error}.") from error


def manifest_of(rollout: Rollout) -> Manifest:
    """What the manifest of a rollout says; its release and phases should be read with it."""
    return Manifest(
        name=rollout.name,
        selection=_selection(Target.restore(rollout.target)),
        excluded=_selection(Target.restore(rollout.excluded)) if rollout.excluded else None,
        release=ReleaseName(rollout.release.name, rollout.release.version),
        plan=rollout.planned().checked(),
        labels=rollout.labels,
        annotations=rollout.annotations,
        requires_approval=rollout.requires_approval,
        timeout_seconds=rollout.deployment_timeout_seconds,
    )


def _selection(target: Target) -> Selection:
    return Selection(
        device_ids=target.device_ids,
        tags=target.tags,
        groups=tuple(str(each) for each in target.group_ids),
        filter=target.filter,
        failed_in=target.failed_in,
        failed_because=target.failed_because,
        percent=target.percent,
        maximum=target.maximum,
    )
