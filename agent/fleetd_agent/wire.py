"""Between the engine's messages and the protobuf of the agent port."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from fleetd_agent.messages import Component, Hook, Offer, Report, Step
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

STEPS: dict[Step, pb.DeploymentStep.ValueType] = {
    Step.DOWNLOADING: pb.DEPLOYMENT_STEP_DOWNLOADING,
    Step.DOWNLOADED: pb.DEPLOYMENT_STEP_DOWNLOADED,
    Step.INSTALLING: pb.DEPLOYMENT_STEP_INSTALLING,
    Step.REBOOTING: pb.DEPLOYMENT_STEP_REBOOTING,
    Step.VERIFYING: pb.DEPLOYMENT_STEP_VERIFYING,
    Step.SUCCEEDED: pb.DEPLOYMENT_STEP_SUCCEEDED,
    Step.FAILED: pb.DEPLOYMENT_STEP_FAILED,
    Step.ROLLED_BACK: pb.DEPLOYMENT_STEP_ROLLED_BACK,
}


def to_timestamp(moment: datetime) -> Timestamp:
    """An aware time as protobuf."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def to_datetime(stamp: Timestamp) -> datetime:
    """A protobuf time as an aware one."""
    return stamp.ToDatetime(tzinfo=UTC)


def report_to_pb(report: Report) -> pb.DeploymentReport:
    """A report as it is sent."""
    message = pb.DeploymentReport(
        deployment_id=report.deployment_id,
        report_sequence=report.sequence,
        step=STEPS[report.step],
        reason_code=report.reason_code,
        message=report.message,
        log_tail=report.log_tail,
    )
    if report.progress_percent is not None:
        message.progress_percent = report.progress_percent
    if report.device_time:
        message.device_time.CopyFrom(to_timestamp(datetime.fromisoformat(report.device_time)))
    return message


def offer_from_pb(message: pb.DeploymentOffer) -> Offer:
    """An offer as the engine takes it."""
    has_deadline = message.HasField("deadline")
    return Offer(
        deployment_id=message.deployment_id,
        release_name=message.release_name,
        release_version=message.release_version,
        components=tuple(_component(item) for item in message.components),
        lease_seconds=message.lease_seconds,
        deadline=to_datetime(message.deadline).isoformat() if has_deadline else "",
    )


def _component(message: pb.Component) -> Component:
    return Component(
        name=message.name,
        version=message.version,
        kind=message.kind,
        sha256=message.sha256.lower(),
        size_bytes=message.size_bytes,
        url=message.url,
        target=message.target,
        file_mode=message.file_mode,
        before=_hook(message.before) if message.HasField("before") else None,
        after=_hook(message.after) if message.HasField("after") else None,
        verify=_hook(message.verify) if message.HasField("verify") else None,
        roll_back=_hook(message.roll_back) if message.HasField("roll_back") else None,
    )


def _hook(message: pb.Hook) -> Hook | None:
    if not message.command:
        return None
    return Hook(tuple(message.command), message.timeout_seconds)
