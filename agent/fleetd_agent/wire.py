"""Between the engine's messages and the protobuf of the agent port."""

from datetime import UTC, datetime

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from fleetd_agent.messages import Check, Component, Hook, Offer, Report, Step
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd_agent.policy import Bundle, InstallPolicy, Mode, Reboot, Window
from fleetd_agent.signed import describe

MODES = {
    pb.INSTALL_MODE_CONFIRMED: Mode.CONFIRMED,
    pb.INSTALL_MODE_DOWNLOAD_ONLY: Mode.DOWNLOAD_ONLY,
}
REBOOTS = {
    pb.REBOOT_POLICY_WHEN_NEEDED: Reboot.WHEN_NEEDED,
    pb.REBOOT_POLICY_IN_WINDOW: Reboot.IN_WINDOW,
}
STEPS: dict[Step, pb.DeploymentStep.ValueType] = {
    Step.DOWNLOADING: pb.DEPLOYMENT_STEP_DOWNLOADING,
    Step.DOWNLOADED: pb.DEPLOYMENT_STEP_DOWNLOADED,
    Step.INSTALLING: pb.DEPLOYMENT_STEP_INSTALLING,
    Step.REBOOTING: pb.DEPLOYMENT_STEP_REBOOTING,
    Step.VERIFYING: pb.DEPLOYMENT_STEP_VERIFYING,
    Step.WAITING: pb.DEPLOYMENT_STEP_WAITING,
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
    if report.waiting_until:
        until = to_timestamp(datetime.fromisoformat(report.waiting_until))
        message.waiting_until.CopyFrom(until)
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
        policy=_policy(message.policy) if message.HasField("policy") else None,
        instruction=message.instruction.decode(errors="replace"),
        repository_url=message.repository_url,
        is_trial_unsigned=message.is_trial_unsigned,
    )


def _policy(message: pb.InstallPolicy) -> InstallPolicy:
    is_sequential = message.bundle == pb.BUNDLE_MODE_SEQUENTIAL
    return InstallPolicy(
        mode=MODES.get(message.mode, Mode.FORCED),
        windows=tuple(
            Window(tuple(item.weekdays), item.start_minute, item.end_minute)
            for item in message.windows
        ),
        blackout_dates=tuple(message.blackout_dates),
        time_zone=message.time_zone,
        maximum_bytes_per_second=message.maximum_bytes_per_second,
        reboot=REBOOTS.get(message.reboot, Reboot.NEVER),
        bundle=Bundle.SEQUENTIAL if is_sequential else Bundle.ATOMIC,
        step_timeouts=dict(message.step_timeouts),
        allow_downgrade=message.allow_downgrade,
        bundle_sha256=tuple(item.lower() for item in message.bundle_sha256),
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
        options=dict(message.install_options),
        checks=tuple(_check(item) for item in message.checks),
        target_path=message.target_path,
        description=describe(MessageToDict(message, preserving_proto_field_name=True)),
    )


def _check(message: pb.HealthCheck) -> Check:
    return Check(
        probe=message.WhichOneof("probe") or "",
        name=message.name,
        url=message.http.url,
        statuses=tuple(message.http.statuses),
        contains=message.http.contains,
        host=message.tcp.host,
        port=message.tcp.port,
        command=_hook(message.command),
        initial_delay_seconds=message.initial_delay_seconds,
        interval_seconds=message.interval_seconds,
        timeout_seconds=message.timeout_seconds,
        success_threshold=message.success_threshold,
        failure_threshold=message.failure_threshold,
        deadline_seconds=message.deadline_seconds,
    )


def _hook(message: pb.Hook) -> Hook | None:
    if not message.command:
        return None
    return Hook(tuple(message.command), message.timeout_seconds)
