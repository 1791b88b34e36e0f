"""Between the messages of the agent port and what the services speak."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from apps.agents.session import Heard, Session
from apps.core import clock
from apps.devices.types import Beat, Facts, Opening
from apps.updates.domain.installation import Mode, Reboot
from apps.updates.domain.plan import Plan
from apps.updates.domain.states import DeploymentState
from apps.updates.types import Offer, OfferedComponent, Report
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

MAX_SKEW_SECONDS = 1e9
MAX_UPTIME_SECONDS = 2**32 - 1
MIN_CELSIUS, MAX_CELSIUS = -273.15, 1000.0

MODES = {
    Mode.FORCED: pb.INSTALL_MODE_FORCED,
    Mode.CONFIRMED: pb.INSTALL_MODE_CONFIRMED,
    Mode.DOWNLOAD_ONLY: pb.INSTALL_MODE_DOWNLOAD_ONLY,
}
REBOOTS = {
    Reboot.NEVER: pb.REBOOT_POLICY_NEVER,
    Reboot.WHEN_NEEDED: pb.REBOOT_POLICY_WHEN_NEEDED,
    Reboot.IN_WINDOW: pb.REBOOT_POLICY_IN_WINDOW,
}
BUNDLES = {"atomic": pb.BUNDLE_MODE_ATOMIC, "sequential": pb.BUNDLE_MODE_SEQUENTIAL}

STEPS = {
    pb.DEPLOYMENT_STEP_DOWNLOADING: DeploymentState.DOWNLOADING,
    pb.DEPLOYMENT_STEP_DOWNLOADED: DeploymentState.DOWNLOADED,
    pb.DEPLOYMENT_STEP_INSTALLING: DeploymentState.INSTALLING,
    pb.DEPLOYMENT_STEP_REBOOTING: DeploymentState.REBOOTING,
    pb.DEPLOYMENT_STEP_VERIFYING: DeploymentState.VERIFYING,
    pb.DEPLOYMENT_STEP_SUCCEEDED: DeploymentState.SUCCEEDED,
    pb.DEPLOYMENT_STEP_FAILED: DeploymentState.FAILED,
    pb.DEPLOYMENT_STEP_ROLLED_BACK: DeploymentState.ROLLED_BACK,
    # Stays in the state that it is in, and says why: see `take_report`.
    pb.DEPLOYMENT_STEP_WAITING: DeploymentState.WAITING,
}


def is_sane(beat: pb.Heartbeat) -> bool:
    """The rules that the proto has for heartbeats, written out: ten times faster, on the one path
    where it counts. A test compares both. NaN is in no range."""
    return (
        0.0 <= beat.cpu_ratio <= 1.0
        and 0.0 <= beat.memory_ratio <= 1.0
        and 0.0 <= beat.disk_ratio <= 1.0
        and beat.uptime_seconds <= MAX_UPTIME_SECONDS
        and MIN_CELSIUS <= beat.temperature_celsius <= MAX_CELSIUS
    )


def beat_of(session: Session, heard: Heard) -> Beat:
    """The newest heartbeat of a stream as it is stored."""
    message = heard.heartbeat
    has_sensor = message.HasField("temperature_celsius")
    return Beat(
        device_id=session.device_id,
        session_id=session.session_id,
        cpu_ratio=message.cpu_ratio,
        memory_ratio=message.memory_ratio,
        disk_ratio=message.disk_ratio,
        temperature_celsius=message.temperature_celsius if has_sensor else None,
        uptime_seconds=message.uptime_seconds,
        clock_skew_seconds=_skew(message, heard.at),
    )


def opening_of(session: Session, hello: pb.Hello, heartbeat_seconds: int) -> Opening:
    """What a Hello says about the device."""
    return Opening(
        device_id=session.device_id,
        session_id=session.session_id,
        heartbeat_seconds=heartbeat_seconds,
        ip_address=session.address or "",
        boot_id=hello.boot_id,
        agent_version=hello.agent_version,
        clock_skew_seconds=_skew(hello, clock.now().timestamp()),
    )


def facts_of(inventory: pb.Inventory) -> Facts:
    """An inventory as devices keep it."""
    columns = ("os_name", "os_version", "kernel", "architecture", "model", "serial", "hostname")
    details = MessageToDict(inventory, preserving_proto_field_name=True)
    for name in (*columns, "installed"):
        details.pop(name, None)
    return Facts(
        **{name: getattr(inventory, name) for name in columns},
        details=details,
        installed=dict(inventory.installed),
    )


def report_of(device_id: UUID, message: pb.DeploymentReport) -> Report:
    """A report with the device that sent it: the one that its certificate names."""
    has_progress = message.HasField("progress_percent")
    return Report(
        deployment_id=UUID(message.deployment_id),
        device_id=device_id,
        report_sequence=message.report_sequence,
        step=STEPS[message.step].value,
        progress_percent=message.progress_percent if has_progress else None,
        reason_code=message.reason_code,
        message=message.message,
        log_tail=message.log_tail,
    )


def offer_message(offer: Offer) -> pb.ConnectResponse:
    """An offer as the device reads it."""
    message = pb.DeploymentOffer(
        deployment_id=str(offer.deployment_id),
        rollout_id=str(offer.rollout_id),
        release_name=offer.release_name,
        release_version=offer.release_version,
        components=[_component(c) for c in offer.components],
        lease_seconds=offer.lease_seconds,
        policy=_policy(offer),
        instruction=offer.instruction,
        repository_url=offer.repository_url,
        targets_url=offer.targets_url,
        is_trial_unsigned=offer.is_trial_unsigned,
    )
    message.deadline.CopyFrom(timestamp(offer.deadline))
    return pb.ConnectResponse(deployment_offer=message)


def timestamp(moment: datetime) -> Timestamp:
    """An aware time as protobuf."""
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def _policy(offer: Offer) -> pb.InstallPolicy:
    """How and when to install; the device looks at its windows again."""
    plan = offer.plan or Plan()
    rules, schedule = plan.installation, plan.schedule
    return pb.InstallPolicy(
        mode=MODES[rules.mode],
        windows=[
            pb.Window(
                weekdays=window.weekdays,
                start_minute=window.start_minute,
                end_minute=window.end_minute,
            )
            for window in schedule.windows
        ],
        blackout_dates=[day.isoformat() for day in schedule.blackout_dates],
        time_zone=schedule.time_zone,
        maximum_bytes_per_second=rules.maximum_bytes_per_second,
        reboot=REBOOTS[rules.reboot],
        bundle=BUNDLES.get(offer.bundle_mode, pb.BUNDLE_MODE_UNSPECIFIED),
        step_timeouts=rules.step_timeouts,
        allow_downgrade=offer.allow_downgrade,
    )


def _component(component: OfferedComponent) -> pb.Component:
    hooks = {
        name: pb.Hook(command=hook["command"], timeout_seconds=hook["timeout_seconds"])
        for name, hook in component.hooks.items()
    }
    return pb.Component(
        name=component.name,
        version=component.version,
        kind=component.kind,
        sha256=component.sha256,
        size_bytes=component.size_bytes,
        url=component.url,
        target=component.target,
        file_mode=component.file_mode,
        install_options=component.install_options,
        checks=[_check(each) for each in component.checks],
        target_path=component.target_path,
        **hooks,
    )


def _check(check: Mapping[str, Any]) -> pb.HealthCheck:
    """A health check; the names of its parts are those of the message."""
    probes = {"http": pb.HttpProbe, "tcp": pb.TcpProbe, "command": pb.Hook}
    values = {key: probes[key](**v) if key in probes else v for key, v in check.items()}
    if "heartbeat" in values:
        values["heartbeat"] = pb.HeartbeatProbe()
    return pb.HealthCheck(**values)


def _skew(message: pb.Heartbeat | pb.Hello, now: float) -> float:
    """The device's clock minus ours, in seconds; 0 where the device did not say."""
    if not message.HasField("device_time"):
        return 0.0
    stamp = message.device_time
    skew = stamp.seconds + stamp.nanos / 1e9 - now
    return max(-MAX_SKEW_SECONDS, min(MAX_SKEW_SECONDS, skew))
