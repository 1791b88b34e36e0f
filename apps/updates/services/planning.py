"""Planning rollouts: everything up to the moment when somebody may start one."""

from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.accounts.selectors import is_person
from apps.accounts.services.mail import is_mail_configured
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require, require_somewhere
from apps.core.errors import NotFound, PermissionDenied, invalid
from apps.events.services.outbox import publish
from apps.updates.domain import engine
from apps.updates.domain.plan import (
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    Plan,
    plan_hash,
)
from apps.updates.domain.problems import BadPlan
from apps.updates.domain.schedule import device_zone
from apps.updates.domain.states import RolloutState, can_rollout_become
from apps.updates.errors import (
    ApprovalNeedsAnotherPerson,
    NothingToRetry,
    PlanChanged,
    RolloutNotDraft,
    RolloutNotPendingApproval,
    RolloutNotReversible,
    RolloutTargetEmpty,
    checked_reason,
)
from apps.updates.models import Component, Phase, Release, Rollout, RolloutEvent
from apps.updates.permissions import (
    ALLOW_DOWNGRADE,
    APPROVE_ROLLOUT,
    CREATE_ROLLOUT,
    SUBMIT_ROLLOUT,
)
from apps.updates.selectors.bindings import bindings_of
from apps.updates.selectors.candidates import chosen_devices
from apps.updates.selectors.phases import preview_phases, read_phase_filters
from apps.updates.selectors.previews import TargetPreview, preview_target
from apps.updates.selectors.rollouts import (
    count_target_devices,
    get_rollout,
    reread_rollout,
    target_devices,
)
from apps.updates.selectors.zones import organization_zone
from apps.updates.services.channels import require_channel
from apps.updates.services.recalls import refuse_recalled
from apps.updates.services.rollout_log import append_events, change_rollout, lock_rollout, new_event
from apps.updates.services.targets import checked_names, checked_target
from apps.updates.types import (
    RolloutApproved,
    RolloutCreated,
    RolloutEdited,
    RolloutRejected,
    RolloutSubmitted,
    Target,
)

DEFAULT_TIMEOUT_SECONDS = 3600
_HOLD_GROUPS = """
    SELECT id FROM devices_device_group
    WHERE organization_id = %s AND id = ANY(%s::uuid[]) ORDER BY id FOR SHARE
"""


@dataclass(frozen=True, slots=True)
class _Draft:
    """What a rollout is planned to do, as it was said and before it is checked."""

    name: str
    release_id: UUID
    target: Target
    excluded: Target | None
    plan: Plan
    channel: str


def create_rollout(  # noqa: PLR0913 - what a plan consists of
    actor: Actor,
    *,
    name: str,
    release_id: UUID,
    target: Target,
    excluded: Target | None = None,
    plan: Plan | None = None,
    requires_approval: bool = False,
    deployment_timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
    channel: str = "",
    validate_only: bool = False,
) -> Rollout:
    """Plans a rollout as a draft; no device is touched before it is started.

    Without a `plan` there is one phase that accepts no failure. `excluded` names devices that are
    left out. `channel` is the one by which the release was named, if any: the rollout keeps the
    release whatever becomes of the channel. With `validate_only` everything runs and nothing
    stays: the answer is the rollout as it would be. Whoever may plan for some groups only has to
    name these and nothing else. Not idempotent. Raises `InvalidRequest` for a bad plan, `NotFound`
    for a release, device or group that is missing or out of sight, `RolloutTargetEmpty` where no
    active device is meant, `ChannelMoved` where the channel points at another release by now.
    """
    require_somewhere(actor, CREATE_ROLLOUT)
    with transaction.atomic():
        rollout = Rollout(
            organization_id=actor.organization_id,
            created_at=clock.now(),
            created_by_id=actor.user_id,
        )
        draft = _Draft(name, release_id, target, excluded, plan or Plan(), channel)
        rollout.requires_approval = requires_approval
        rollout.deployment_timeout_seconds = deployment_timeout_seconds
        _fill(actor, rollout, draft)
        store_rollout(actor, rollout)
        record(actor, CREATE_ROLLOUT.name, rollout, changes=_described(rollout, channel))
        created = reread_rollout(actor, rollout.id)
        if validate_only:
            foresee(actor, created)
            transaction.set_rollback(True)
    return created


def update_rollout(  # noqa: PLR0913 - what a plan consists of
    actor: Actor,
    rollout_id: UUID,
    *,
    name: str,
    release_id: UUID,
    target: Target,
    excluded: Target | None = None,
    plan: Plan | None = None,
    requires_approval: bool = False,
    deployment_timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
    channel: str = "",
) -> Rollout:
    """Replaces the plan of a rollout that was not started; it is a draft again, approved by nobody.

    Raises what `create_rollout` does, and `RolloutNotDraft` once it was started.
    """
    rollout = lock_rollout(actor, rollout_id, CREATE_ROLLOUT)
    state = RolloutState(rollout.state)
    if state is not RolloutState.DRAFT and not can_rollout_become(state, RolloutState.DRAFT):
        raise RolloutNotDraft("Only a rollout that was not started can be changed.")
    before = rollout.plan_hash
    draft = _Draft(name, release_id, target, excluded, plan or Plan(), channel)
    rollout.requires_approval = requires_approval
    rollout.deployment_timeout_seconds = deployment_timeout_seconds
    _fill(actor, rollout, draft)
    rollout.approved_by = ""
    rollout.save()
    Phase.objects.for_org(actor.organization_id).filter(rollout_id=rollout.id).delete()
    _store_phases(actor, rollout)
    edited = new_event(engine.EDITED, **_planned(rollout), maker_id=str(actor.user_id or ""))
    append_events(actor, rollout, [edited])
    record(
        actor,
        CREATE_ROLLOUT.name,
        rollout,
        changes={**_described(rollout, channel), "plan_hash": [before, rollout.plan_hash]},
    )
    publish(actor, RolloutEdited(rollout_id=rollout.id))
    return reread_rollout(actor, rollout.id)


def clone_rollout(actor: Actor, rollout_id: UUID, *, name: str = "") -> Rollout:
    """A new draft with the plan of another rollout, whatever became of that one."""
    require_somewhere(actor, CREATE_ROLLOUT)
    source = get_rollout(actor, rollout_id)
    return _recreate(actor, source, name or f"{source.name} (copy)", Target.restore(source.target))


def retry_rollout(actor: Actor, rollout_id: UUID, *, name: str = "", reason: str = "") -> Rollout:
    """A new draft for those devices of a rollout that failed, for this reason or, without, for any.

    What has ended stays as it was. Raises `NothingToRetry` where no device failed so.
    """
    require_somewhere(actor, CREATE_ROLLOUT)
    source = get_rollout(actor, rollout_id)
    if not sum(phase.failed for phase in source.phases.all()):
        raise NothingToRetry
    target = Target(failed_in=source.id, failed_because=reason, **_groups_of(source))
    checked_names(actor, target)
    if reason and not target_devices(actor, target).exists():
        raise NothingToRetry
    words = reason.replace("_", " ") if reason.isprintable() and reason else "failed devices"
    return _recreate(actor, source, name or f"{source.name} ({words})"[:200], target)


def _groups_of(source: Rollout) -> dict[str, Any]:
    """Where the source stood: whoever may plan for these groups may retry there."""
    stored = Target.restore(source.target)
    return {"group_ids": stored.group_ids} if stored.is_groups else {}


def _recreate(actor: Actor, source: Rollout, name: str, target: Target) -> Rollout:
    if source.rolls_back_id is not None:
        # Each of its devices went back to a release of its own: no single one fits them all.
        raise RolloutNotReversible("Roll the original rollout back again instead.")
    plan = source.planned()
    schedule = replace(plan.schedule, start_at=None, end_at=None)
    return create_rollout(
        actor,
        name=name[:200],
        release_id=source.release_id,
        target=target,
        excluded=Target.restore(source.excluded) if source.excluded else None,
        # Those that failed are known: nobody joins them.
        plan=replace(
            plan, schedule=schedule, is_dynamic=plan.is_dynamic and target.failed_in is None
        ),
        requires_approval=source.requires_approval,
        deployment_timeout_seconds=source.deployment_timeout_seconds,
    )


def submit_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """Asks for approval of the plan as it stands; one that needs none is ready at once.

    Submitting again changes nothing. Raises `RolloutNotDraft`.
    """
    rollout = lock_rollout(actor, rollout_id, SUBMIT_ROLLOUT)
    if rollout.state in (RolloutState.PENDING_APPROVAL, RolloutState.SCHEDULED):
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.DRAFT:
        raise RolloutNotDraft(data={"state": rollout.state})
    event = new_event(engine.SUBMITTED, requires_approval=rollout.requires_approval)
    announced = RolloutSubmitted(rollout_id=rollout.id)
    return change_rollout(actor, rollout, SUBMIT_ROLLOUT, event, announced)


def approve_rollout(actor: Actor, rollout_id: UUID, *, plan_hash: str) -> Rollout:
    """Approves exactly the plan with this hash; the rollout can be started then.

    Approving the same plan again changes nothing. Raises `RolloutNotPendingApproval`,
    `ApprovalNeedsAnotherPerson` for whoever made or changed it, `PlanChanged` for any other hash.
    """
    rollout = lock_rollout(actor, rollout_id, APPROVE_ROLLOUT)
    if rollout.state == RolloutState.SCHEDULED and rollout.approved_hash == plan_hash != "":
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.PENDING_APPROVAL:
        raise RolloutNotPendingApproval(data={"state": rollout.state})
    if actor.user_id is None or not is_person(actor.user_id):
        # Whoever plans it may hold the key of a service account.
        raise PermissionDenied("Only a person can approve a rollout.")
    if str(actor.user_id) in _makers(actor, rollout):
        raise ApprovalNeedsAnotherPerson
    if plan_hash != hash_plan(actor, rollout):
        raise PlanChanged(data={"plan_hash": rollout.plan_hash})
    rollout.approved_by = actor.label
    rollout.save(update_fields=["approved_by"])
    event = new_event(engine.APPROVED, plan_hash=plan_hash, by=actor.label)
    announced = RolloutApproved(rollout_id=rollout.id)
    return change_rollout(actor, rollout, APPROVE_ROLLOUT, event, announced)


def reject_rollout(actor: Actor, rollout_id: UUID, *, reason: str) -> Rollout:
    """Sends a plan back to its maker as a draft, with the reason. Repeating it changes nothing.

    Raises `RolloutNotPendingApproval`, `InvalidRequest` without a reason.
    """
    rollout = lock_rollout(actor, rollout_id, APPROVE_ROLLOUT)
    if rollout.state == RolloutState.DRAFT:
        return reread_rollout(actor, rollout.id)
    if rollout.state != RolloutState.PENDING_APPROVAL:
        raise RolloutNotPendingApproval(data={"state": rollout.state})
    event = new_event(engine.REJECTED, by=actor.label, reason=checked_reason(reason))
    announced = RolloutRejected(rollout_id=rollout.id)
    return change_rollout(actor, rollout, APPROVE_ROLLOUT, event, announced)


def _makers(actor: Actor, rollout: Rollout) -> set[str]:
    """Who planned it, and all who changed the plan."""
    edits = RolloutEvent.objects.for_org(actor.organization_id).filter(
        rollout_id=rollout.id, type=engine.EDITED
    )
    editors = {data.get("maker_id", "") for data in edits.values_list("data", flat=True)}
    return editors | {str(rollout.created_by_id)}


def store_rollout(actor: Actor, rollout: Rollout) -> None:
    """Stores a planned rollout with its phases as a draft, with the first entry of its log.

    The caller audits what it was for.
    """
    rollout.save(force_insert=True)
    _store_phases(actor, rollout)
    append_events(actor, rollout, [new_event(engine.CREATED, **_planned(rollout))])
    publish(actor, RolloutCreated(rollout_id=rollout.id))


def set_plan(actor: Actor, rollout: Rollout, plan: Plan) -> None:
    """Gives the rollout a plan, with the columns that repeat it.

    Raises `InvalidRequest`, `FilterError` for a phase's filter, and `PermissionDenied` where the
    plan goes to older versions and the actor may not plan that; a roll back always may.
    """
    if plan.installation.allow_downgrade and rollout.rolls_back_id is None:
        require(actor, ALLOW_DOWNGRADE)
    try:
        plan = plan.checked()
        default = device_zone(organization_zone(actor.organization_id))
        plan.schedule.check_opens(clock.now(), default)
    except BadPlan as bad:
        raise invalid(bad.field, "invalid_plan", bad.message) from bad
    read_phase_filters(actor, plan.phases)
    _require_mail_server(plan)
    rollout.plan = plan.dump()
    rollout.priority = plan.priority
    rollout.start_at = plan.schedule.start_at
    rollout.is_limited = plan.is_limited
    rollout.maximum_attempts = plan.installation.maximum_attempts


def hash_plan(actor: Actor, rollout: Rollout) -> str:
    """SHA-256 over everything that decides what happens to which devices, as it is stored now.

    What smart groups and names of groups stand for is part of it: see `selectors.bindings`.
    """
    components = (
        Component.objects.for_org(actor.organization_id)
        .filter(release_id=rollout.release_id)
        .order_by("position")
        .values_list("name", "kind", "artifact__sha256", "target", "file_mode", "hooks")
    )
    plan = {
        "release": [str(rollout.release_id), rollout.release.name, rollout.release.version],
        "components": [list(component) for component in components],
        "target": rollout.target,
        "excluded": rollout.excluded,
        "plan": rollout.plan,
        "deployment_timeout_seconds": rollout.deployment_timeout_seconds,
        "requires_approval": rollout.requires_approval,
    }
    if bindings := _bindings(actor, rollout):
        plan["groups"] = bindings
    return plan_hash(plan)


def is_as_approved(actor: Actor, rollout: Rollout) -> bool:
    """Whether a locked rollout would do what was approved, nothing else.

    The groups that its plan leads to stay what they are until the transaction ends: else somebody
    could change one between this look and the choice of devices.
    """
    if groups := _bindings(actor, rollout).get("groups"):
        with connection.cursor() as cursor:
            cursor.execute(_HOLD_GROUPS, [actor.organization_id, sorted(groups)])
    return rollout.approved_hash == hash_plan(actor, rollout)


def _bindings(actor: Actor, rollout: Rollout) -> dict[str, Any]:
    targets = (Target.restore(rollout.target), Target.restore(rollout.excluded or {}))
    return bindings_of(actor.organization_id, *targets, rollout.planned())


def _fill(actor: Actor, rollout: Rollout, draft: _Draft) -> None:
    """Gives a rollout what it was planned to do, all of it checked."""
    rollout.name = _checked_name(draft.name)
    rollout.release = _release(actor, draft.release_id)
    rollout.target = checked_target(actor, draft.target)
    rollout.excluded = _exclusion(actor, draft.excluded)
    _check_channel(actor, rollout.release, draft.channel)
    _check_timeout(rollout.deployment_timeout_seconds)
    _plan(actor, rollout, draft.plan)


def _exclusion(actor: Actor, excluded: Target | None) -> dict[str, Any]:
    if excluded is not None and excluded.is_partial:
        message = "A percentage or maximum is for the target: an exclusion leaves all of them out."
        raise invalid("excluded", "partial_exclusion", message)
    if excluded is None or excluded.is_everything:
        return {}
    return checked_names(actor, excluded)


def _plan(actor: Actor, rollout: Rollout, plan: Plan) -> None:
    set_plan(actor, rollout, plan)
    excluded = Target.restore(rollout.excluded) if rollout.excluded else None
    target, release = Target.restore(rollout.target), rollout.release
    allowed = plan.installation.allow_downgrade
    if not count_target_devices(actor, target, excluded, release, allows_downgrade=allowed):
        found = preview_target(actor, release.id, target, excluded, allows_downgrade=allowed)
        raise RolloutTargetEmpty(_nobody(found))
    rollout.plan_hash = hash_plan(actor, rollout)


def _nobody(found: TargetPreview) -> str:
    """Why a target comes to nothing: how many devices it means, and what leaves them out."""
    if not found.matched:
        return "The target names no active device."
    reasons = "; ".join(f"{each.count} {each.words}" for each in found.reasons if each.leaves_out)
    return f"{RolloutTargetEmpty.default_message} Of {found.matched}: {reasons}."


def _store_phases(actor: Actor, rollout: Rollout) -> None:
    Phase.objects.for_org(actor.organization_id).bulk_create(
        [
            Phase(
                organization_id=actor.organization_id,
                rollout_id=rollout.id,
                index=index,
                name=phase.name,
                percent=phase.percent,
            )
            for index, phase in enumerate(rollout.planned().phases)
        ]
    )


def _planned(rollout: Rollout) -> dict[str, Any]:
    """What the log says of a plan; only what differs from the plainest one, besides its hash."""
    plan = rollout.planned()
    data: dict[str, Any] = {
        "plan_hash": rollout.plan_hash,
        "percents": [phase.percent for phase in plan.phases],
    }
    plainest = Plan().phases[0]
    if any(phase.gate != plainest.gate for phase in plan.phases):
        data["gates"] = [phase.gate.dump() for phase in plan.phases]
    if any(phase.needs_approval for phase in plan.phases):
        data["approvals"] = [phase.needs_approval for phase in plan.phases]
    if plan.is_dynamic:
        data["is_dynamic"] = True
    if plan.schedule.end_at:
        data["end_at"] = plan.schedule.end_at.astimezone(UTC).isoformat()
    return data


def _check_channel(actor: Actor, release: Release, channel: str) -> None:
    if channel:
        require_channel(actor, release, channel)


def _described(rollout: Rollout, channel: str) -> dict[str, Any]:
    """What the audit trail says of a plan."""
    return {
        "name": rollout.name,
        "release": str(rollout.release),
        **({"channel": channel} if channel else {}),
        "phases": [phase.percent for phase in rollout.planned().phases],
        "target": rollout.target,
        **({"excluded": rollout.excluded} if rollout.excluded else {}),
        **_told(rollout.planned()),
        **({"allow_downgrade": True} if rollout.planned().installation.allow_downgrade else {}),
    }


def _told(plan: Plan) -> dict[str, Any]:
    return {"told": list(plan.notifications.email)} if plan.notifications.email else {}


def _require_mail_server(plan: Plan) -> None:
    if plan.notifications.email and not is_mail_configured():
        message = "This installation has no mail server: set FLEETD_EMAIL_URL, or tell nobody."
        raise invalid("notifications.email", "mail_not_configured", message)


def foresee(actor: Actor, rollout: Rollout) -> None:
    """Tells the phases of a rollout how many devices they would have now; stores nothing."""
    devices = chosen_devices(actor, rollout)
    sizes = preview_phases(actor, devices, rollout.planned().phases)
    for phase in rollout.phases.all():
        phase.total = phase.waiting = sizes[phase.index]


def _release(actor: Actor, release_id: UUID) -> Release:
    rows = Release.objects.for_org(actor.organization_id)
    release: Release | None = rows.filter(id=release_id).first()
    if release is None:
        raise NotFound("There is no such release.")
    refuse_recalled(actor, release.id)
    return release


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise invalid("name", "invalid_name", "A rollout needs a name of 1 to 200 characters.")
    return name


def _check_timeout(seconds: int) -> None:
    if not MIN_TIMEOUT_SECONDS <= seconds <= MAX_TIMEOUT_SECONDS:
        message = f"A device gets {MIN_TIMEOUT_SECONDS} to {MAX_TIMEOUT_SECONDS} seconds."
        raise invalid("deployment_timeout_seconds", "invalid_timeout", message)
