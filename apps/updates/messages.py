"""What the public API says about artifacts, releases, rollouts and deployments."""

from collections.abc import Sequence
from typing import Any

import orjson

from apps.core.actors import Actor
from apps.core.public import enum_value, timestamp
from apps.updates.domain.gate import Counts
from apps.updates.domain.gates.sentences import told
from apps.updates.domain.verdict import summary
from apps.updates.models import (
    Artifact,
    ArtifactUpload,
    Component,
    Deployment,
    Phase,
    Release,
    ReleasePackage,
    ReleasePromotion,
    Rollout,
)
from apps.updates.models import RolloutEvent as LoggedEvent
from apps.updates.plans import plan_message, target_message
from apps.updates.selectors.standing import verdicts
from apps.updates.types import HOOK_NAMES
from fleetd.pb.public.v1 import fleet_pb2 as pb


def artifact_message(artifact: Artifact) -> pb.Artifact:
    """An artifact."""
    return pb.Artifact(
        id=str(artifact.id),
        name=artifact.name,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        content_type=artifact.content_type,
        created_at=timestamp(artifact.created_at),
        created_by=artifact.created_by,
        file_removed_at=timestamp(artifact.file_removed_at),
    )


def upload_message(upload: ArtifactUpload) -> pb.ArtifactUpload:
    """An upload in parts."""
    return pb.ArtifactUpload(
        id=str(upload.id),
        name=upload.name,
        size_bytes=upload.size_bytes,
        received_bytes=upload.received_bytes,
        artifact_id=str(upload.artifact_id or ""),
        created_at=timestamp(upload.created_at),
        expires_at=timestamp(upload.expires_at),
    )


def release_message(release: Release) -> pb.Release:
    """A release; its components should be prefetched."""
    return pb.Release(
        id=str(release.id),
        name=release.name,
        version=release.version,
        components=[_component(each) for each in release.components.all()],
        notes=release.notes,
        locked_at=timestamp(release.locked_at),
        created_at=timestamp(release.created_at),
        bundle_mode=enum_value(pb.BundleMode, release.bundle_mode),
        compatible=release.compatible,
        requires=[pb.VersionRule(**rule) for rule in release.requires],
        conflicts=[pb.VersionRule(**rule) for rule in release.conflicts],
        is_stepping_stone=release.is_stepping_stone,
        recalled_at=timestamp(release.recalled_at),
        recall_reason=release.recall_reason,
        deprecated_at=timestamp(release.deprecated_at),
        deprecation_reason=release.deprecation_reason,
        sbom_artifact_id=str(release.sbom_id or ""),
        channels=release.channels,
        created_by=release.created_by,
        files_removed_at=timestamp(release.files_removed_at),
    )


def channel_message(promotion: ReleasePromotion) -> pb.ReleaseChannel:
    """What a channel points at; its release should be selected with it."""
    return pb.ReleaseChannel(
        id=str(promotion.id),
        release_name=promotion.release_name,
        channel=promotion.channel,
        release_id=str(promotion.release_id),
        release_version=promotion.release.version,
        reason=promotion.reason,
        promoted_at=timestamp(promotion.promoted_at),
        promoted_by=promotion.promoted_by,
        ended_at=timestamp(promotion.ended_at),
    )


def package_message(package: ReleasePackage) -> pb.ReleasePackage:
    """A piece of software inside of a release."""
    return pb.ReleasePackage(name=package.name, version=package.version, purl=package.purl)


def rollout_message(actor: Actor, rollout: Rollout) -> pb.Rollout:
    """A rollout as it stands now; its release and phases should be prefetched."""
    [message] = rollout_messages(actor, [rollout])
    return message


def rollout_messages(actor: Actor, rollouts: Sequence[Rollout]) -> list[pb.Rollout]:
    """The same of many, with as few queries as of one."""
    sentences = verdicts(actor, rollouts)
    return [_rollout(rollout, sentences[rollout.id]) for rollout in rollouts]


def _rollout(rollout: Rollout, verdict: str) -> pb.Rollout:
    phases = sorted(rollout.phases.all(), key=lambda phase: phase.index)
    return pb.Rollout(
        id=str(rollout.id),
        name=rollout.name,
        state=enum_value(pb.RolloutState, rollout.state),
        release_id=str(rollout.release_id),
        release_name=rollout.release.name,
        release_version=rollout.release.version,
        target=target_message(rollout.target),
        phases=[_phase(each) for each in phases],
        counts=_counts(sum((each.counts for each in phases), Counts())),
        requires_approval=rollout.requires_approval,
        plan_hash=rollout.plan_hash,
        verdict=verdict,
        created_at=timestamp(rollout.created_at),
        started_at=timestamp(rollout.started_at),
        finished_at=timestamp(rollout.finished_at),
        deployment_timeout_seconds=rollout.deployment_timeout_seconds,
        plan=plan_message(rollout.planned()),
        excluded=target_message(rollout.excluded) if rollout.excluded else None,
        rolls_back=str(rollout.rolls_back_id) if rollout.rolls_back_id else "",
        labels=rollout.labels,
        annotations=rollout.annotations,
    )


def event_message(event: LoggedEvent) -> pb.RolloutEvent:
    """One entry of a rollout's log."""
    return pb.RolloutEvent(
        sequence=event.sequence,
        time=timestamp(event.time),
        type=event.type,
        summary=summary(event.type, event.data),
        actor=event.actor_label,
        data_json=orjson.dumps(event.data).decode(),
    )


def deployment_message(deployment: Deployment) -> pb.Deployment:
    """A deployment; its device should be selected with it."""
    return pb.Deployment(
        id=str(deployment.id),
        rollout_id=str(deployment.rollout_id),
        device_id=str(deployment.device_id),
        device_name=deployment.device.name,
        phase_index=deployment.phase_index,
        state=enum_value(pb.DeploymentState, deployment.state),
        progress_percent=deployment.progress_percent,
        reason_code=deployment.reason_code,
        message=deployment.message,
        log_tail=deployment.log_tail,
        created_at=timestamp(deployment.created_at),
        started_at=timestamp(deployment.started_at),
        finished_at=timestamp(deployment.finished_at),
        deadline_at=timestamp(deployment.deadline_at),
    )


def _component(component: Component) -> pb.Component:
    hooks = {
        name: pb.Hook(**component.hooks[name]) for name in HOOK_NAMES if component.hooks.get(name)
    }
    return pb.Component(
        name=component.name,
        kind=enum_value(pb.ComponentKind, component.kind),
        artifact_id=str(component.artifact_id),
        target=component.target,
        file_mode=component.file_mode,
        install_options=component.install_options,
        checks=[_check(each) for each in component.checks],
        **hooks,
    )


def _check(check: dict[str, Any]) -> pb.HealthCheck:
    probes = {"http": pb.HttpProbe, "tcp": pb.TcpProbe, "command": pb.Hook}
    values = {key: probes[key](**v) if key in probes else v for key, v in check.items()}
    if "heartbeat" in values:
        values["heartbeat"] = pb.HeartbeatProbe()
    return pb.HealthCheck(**values)


def _phase(phase: Phase) -> pb.Phase:
    return pb.Phase(
        index=phase.index,
        name=phase.name,
        percent=phase.percent,
        state=enum_value(pb.PhaseState, phase.state),
        counts=_counts(phase.counts),
        gate_decision=enum_value(pb.GateDecision, phase.gate_decision),
        gate_reason=told(phase.gate_reason),
    )


def _counts(counts: Counts) -> pb.DeploymentCounts:
    return pb.DeploymentCounts(
        total=counts.total,
        waiting=counts.waiting,
        active=counts.active,
        succeeded=counts.succeeded,
        failed=counts.failed,
        cancelled=counts.cancelled,
        skipped=counts.skipped,
    )
