"""Rollouts, their phases and logs in the admin."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from apps.core import clock
from apps.core.actors import Actor
from apps.core.org_admin.cells import badge, when
from apps.core.org_admin.forms import OrgForm, RowsField, WordsField
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import actor_of
from apps.devices.models import Device, DeviceGroup
from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import GateKind, GatePolicy
from apps.updates.domain.plan import Plan, simple_plan
from apps.updates.domain.states import PhaseState, RolloutState
from apps.updates.domain.verdict import verdict
from apps.updates.models import (
    Deployment,
    Phase,
    Rollout,
    RolloutEvent,
)
from apps.updates.permissions import (
    ADVANCE_PHASE,
    APPROVE_ROLLOUT,
    CANCEL_ROLLOUT,
    CREATE_ROLLOUT,
    HALT_ROLLOUT,
    PAUSE_ROLLOUT,
    RESUME_ROLLOUT,
    ROLL_BACK_ROLLOUT,
    START_ROLLOUT,
    SUBMIT_ROLLOUT,
    VIEW_ROLLOUTS,
)
from apps.updates.selectors.rollouts import rollouts_within
from apps.updates.services.planning import (
    approve_rollout,
    clone_rollout,
    create_rollout,
    reject_rollout,
    retry_rollout,
    submit_rollout,
)
from apps.updates.services.rollbacks import roll_back_rollout
from apps.updates.services.rollouts import (
    advance_phase,
    cancel_rollout,
    halt_rollout,
    pause_rollout,
    resume_rollout,
    start_rollout,
)
from apps.updates.types import Target

ENDED = (RolloutState.COMPLETED, RolloutState.CANCELLED, RolloutState.ROLLED_BACK)


class NewRolloutForm(OrgForm):
    """Which devices get the release, in which phases."""

    all_devices = forms.BooleanField(required=False, help_text="Every active device.")
    groups = RowsField(DeviceGroup, required=False)
    tags = WordsField(max_length=5000, required=False, help_text="Devices with any of these.")
    devices = RowsField(
        Device,
        required=False,
        widget=AutocompleteSelectMultiple(Deployment._meta.get_field("device"), admin.site),
    )
    filter = forms.CharField(
        max_length=4096, required=False, help_text='Devices that match, as model = "pi4".'
    )
    is_dynamic = forms.BooleanField(
        label="dynamic", required=False, help_text="Devices that match later join while it runs."
    )
    phase_percents = WordsField(
        max_length=200,
        initial=["100"],
        help_text="How far each phase goes, rising to 100, as 5, 25, 100.",
    )

    by_statistics = forms.BooleanField(
        required=False,
        help_text="Few failures among many devices are fine: 1 % may fail, 5 % may not."
        " Otherwise the first failure halts the rollout.",
    )

    def clean_phase_percents(self) -> list[int]:
        """As numbers."""
        words = self.cleaned_data["phase_percents"]
        if not all(word.isascii() and word.isdigit() and len(word) <= 3 for word in words):
            raise forms.ValidationError("Whole numbers from 1 to 100.")
        return [int(word) for word in words]

    def clean(self) -> dict[str, Any] | None:
        """Nothing chosen would mean everything: that has to be said."""
        cleaned = super().clean() or {}
        chosen = any(cleaned.get(name) for name in ("groups", "tags", "devices", "filter"))
        if bool(cleaned.get("all_devices")) == chosen:
            raise forms.ValidationError("Choose devices, tags, groups or a filter, or all devices.")
        return cleaned


def _plan_of(values: dict[str, Any]) -> Plan:
    """What the form says of phases; the rest has its usual values."""
    kind = GateKind.SEQUENTIAL if values["by_statistics"] else GateKind.STRICT
    plan = simple_plan(values["phase_percents"])
    phases = tuple(replace(phase, gate=GatePolicy(kind=kind)) for phase in plan.phases)
    return replace(plan, phases=phases, is_dynamic=values["is_dynamic"])


class DecisionForm(forms.Form):
    """Why somebody decides so."""

    reason = forms.CharField(max_length=300, help_text="Shown in the rollout's log.")


def _is(*states: RolloutState) -> Any:
    return lambda rollout: rollout.state in states


def _waiting_phase(rollout: Rollout) -> str:
    """The number of the phase that somebody may let go on, counted from 1; empty for none."""
    status = rollout.status()
    if status.state is not RolloutState.RUNNING:
        return ""
    if status.awaits_approval:
        return str(status.open_phase + 2)
    is_open = status.phases[status.open_phase].state is PhaseState.OPEN
    return str(status.open_phase + 1) if is_open else ""


def _advance(actor: Actor, rollout: Rollout, values: dict[str, Any]) -> Rollout:
    """Advances the phase that the page named."""
    seen = values["seen"]
    index = int(seen) - 1 if seen.isascii() and seen.isdigit() and len(seen) < 4 else -1
    return advance_phase(actor, rollout.pk, index=index, reason=values["reason"])


def _may_repeat(rollout: Rollout) -> bool:
    return rollout.rolls_back_id is None


def _has_failed(rollout: Rollout) -> bool:
    return _may_repeat(rollout) and any(phase.failed for phase in rollout.phases.all())


ROLLOUT_OPERATIONS = (
    Operation(
        "submit_rollout",
        "Submit",
        SUBMIT_ROLLOUT,
        lambda actor, rollout, _values: submit_rollout(actor, rollout.pk),
        applies=_is(RolloutState.DRAFT),
    ),
    Operation(
        "approve_rollout",
        "Approve",
        APPROVE_ROLLOUT,
        lambda actor, rollout, values: approve_rollout(actor, rollout.pk, plan_hash=values["seen"]),
        warning="You approve exactly the plans with these hashes.",
        seen=lambda rollout: rollout.plan_hash,
        applies=_is(RolloutState.PENDING_APPROVAL),
    ),
    Operation(
        "reject_rollout",
        "Send back",
        APPROVE_ROLLOUT,
        lambda actor, rollout, values: reject_rollout(actor, rollout.pk, reason=values["reason"]),
        warning="The plan becomes a draft again, for its maker to change.",
        form=DecisionForm,
        applies=_is(RolloutState.PENDING_APPROVAL),
    ),
    Operation(
        "start_rollout",
        "Start",
        START_ROLLOUT,
        lambda actor, rollout, _values: start_rollout(actor, rollout.pk),
        warning="The target is resolved now, for good, and the devices of the first phase begin"
        " to update.",
        applies=_is(RolloutState.DRAFT, RolloutState.SCHEDULED),
    ),
    Operation(
        "pause_rollout",
        "Pause",
        PAUSE_ROLLOUT,
        lambda actor, rollout, _values: pause_rollout(actor, rollout.pk),
        applies=_is(RolloutState.RUNNING),
    ),
    Operation(
        "resume_rollout",
        "Resume",
        RESUME_ROLLOUT,
        lambda actor, rollout, _values: resume_rollout(actor, rollout.pk),
        applies=_is(RolloutState.PAUSED),
    ),
    Operation(
        "advance_phase",
        "Let a phase go on",
        ADVANCE_PHASE,
        _advance,
        warning="The phases with these numbers pass their gates by hand, or open where they wait"
        " for approval. Their devices begin to update within seconds.",
        form=DecisionForm,
        seen=_waiting_phase,
        applies=lambda rollout: bool(_waiting_phase(rollout)),
    ),
    Operation(
        "halt_rollout",
        "Halt for good",
        HALT_ROLLOUT,
        lambda actor, rollout, values: halt_rollout(actor, rollout.pk, reason=values["reason"]),
        warning="No further device starts, and it cannot be resumed. Devices that are at it"
        " finish. After that it can be rolled back or cancelled.",
        form=DecisionForm,
        applies=_is(RolloutState.RUNNING, RolloutState.PAUSED),
    ),
    Operation(
        "roll_back_rollout",
        "Roll back",
        ROLL_BACK_ROLLOUT,
        lambda actor, rollout, _values: roll_back_rollout(actor, rollout.pk),
        warning="Devices go back to the release that they had before, at once and without being"
        " asked: 10 % of them first, then all.",
        applies=_is(RolloutState.HALTED, RolloutState.COMPLETED),
    ),
    Operation(
        "clone_rollout",
        "Clone",
        CREATE_ROLLOUT,
        lambda actor, rollout, _values: clone_rollout(actor, rollout.pk),
        applies=_may_repeat,
    ),
    Operation(
        "retry_rollout",
        "Plan again for failed devices",
        CREATE_ROLLOUT,
        lambda actor, rollout, _values: retry_rollout(actor, rollout.pk),
        applies=_has_failed,
    ),
    Operation(
        "cancel_rollout",
        "Cancel for good",
        CANCEL_ROLLOUT,
        lambda actor, rollout, _values: cancel_rollout(actor, rollout.pk),
        warning="No further device starts, and devices that have not begun to install stop."
        " Devices that are installing finish on their own. There is no way back.",
        word="cancel",
        applies=lambda rollout: rollout.state not in ENDED,
    ),
)


@admin.register(Rollout)
class RolloutAdmin(OrgModelAdmin):
    """Plans and where they stand."""

    view_permission = VIEW_ROLLOUTS
    add_permission = CREATE_ROLLOUT
    reached = staticmethod(rollouts_within)
    page = "rollout"
    list_display = ("name", "release", "standing", "progress", "created")
    list_select_related = ("release",)
    list_filter = ("state",)
    linked_by = ("release",)
    search_fields = ("name", "release__name", "=release__version")
    ordering = ("-id",)
    sortable_by = ("name",)
    autocomplete_fields = ("release",)
    add_form = NewRolloutForm
    add_fields = (
        "name",
        "release",
        "all_devices",
        "groups",
        "tags",
        "devices",
        "filter",
        "is_dynamic",
        "phase_percents",
        "by_statistics",
        "requires_approval",
        "deployment_timeout_seconds",
    )
    hidden_fields = ("snapshot", "state")
    extra_fields = ("standing", "verdict", "progress")
    operations = ROLLOUT_OPERATIONS

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """With the phases, whose counters make the progress."""
        return super().rows(request).prefetch_related("phases")

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Plans the rollout as a draft."""
        values = form.cleaned_data
        return create_rollout(
            actor_of(request),
            name=values["name"],
            release_id=values["release"].pk,
            target=Target(
                device_ids=tuple(device.pk for device in values["devices"]),
                tags=tuple(values["tags"]),
                group_ids=tuple(group.pk for group in values["groups"]),
                filter=values["filter"],
            ),
            plan=_plan_of(values),
            requires_approval=values["requires_approval"],
            deployment_timeout_seconds=values["deployment_timeout_seconds"],
        )

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """Its parts."""
        models = (Phase, Deployment, RolloutEvent)
        names = [str(model._meta.verbose_name_plural) for model in models]
        lists = [self.list_address(model, rollout__id__exact=obj.pk) for model in models]
        return list(zip(names, lists, strict=True))

    @admin.display(description="state")
    def standing(self, rollout: Rollout) -> SafeString:
        """As a badge."""
        return badge("rollout", rollout.state)

    @admin.display(description="what it waits for")
    def verdict(self, rollout: Rollout) -> str:
        """One sentence."""
        return verdict(rollout, clock.now())

    @admin.display(description="progress")
    def progress(self, rollout: Rollout) -> SafeString:
        """From the stored counters of the phases."""
        counts = sum(rollout.counts(), Counts())
        return render_to_string("admin/cells/progress.html", {"counts": counts})

    @admin.display(description="planned")
    def created(self, rollout: Rollout) -> SafeString:
        """When it was planned."""
        return when(rollout.created_at)


@admin.register(Phase)
class PhaseAdmin(OrgModelAdmin):
    """Steps of rollouts with their gates and counters."""

    view_permission = VIEW_ROLLOUTS
    reached = staticmethod(partial(rollouts_within, via="rollout"))
    list_display = ("name", "rollout", "percent", "standing", "gate_reason", "progress")
    list_select_related = ("rollout",)
    list_filter = ("state", "rollout")
    ordering = ("-rollout_id", "index")
    sortable_by = ()

    @admin.display(description="state")
    def standing(self, phase: Phase) -> SafeString:
        """As a badge."""
        return badge("phase", phase.state)

    @admin.display(description="progress")
    def progress(self, phase: Phase) -> SafeString:
        """From its counters."""
        return render_to_string("admin/cells/progress.html", {"counts": phase.counts})


@admin.register(RolloutEvent)
class RolloutEventAdmin(OrgModelAdmin):
    """The append-only log of decisions and actions."""

    view_permission = VIEW_ROLLOUTS
    reached = staticmethod(partial(rollouts_within, via="rollout"))
    list_display = ("sequence", "rollout", "type", "actor_label", "at")
    list_select_related = ("rollout",)
    list_filter = ("rollout",)
    search_fields = ("^type", "^actor_label")
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description="time")
    def at(self, event: RolloutEvent) -> SafeString:
        """When it happened."""
        return when(event.time)
