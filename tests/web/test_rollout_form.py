"""The form of a new rollout: the few choices that most need, and all the others."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.domain.gates import (
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricCondition,
    OnExhausted,
)
from apps.updates.domain.installation import Installation, Mode, Reboot
from apps.updates.domain.notifications import Notifications
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import Schedule, Window
from apps.updates.models import Rollout
from apps.updates.services.channels import promote_release
from apps.updates.services.planning import submit_rollout
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from apps.updates.ui.plan_form import filled
from apps.updates.ui.plan_values import values_of
from tests import factories
from tests.bars.audited import browser
from tests.factories import Cast
from tests.updates.conftest import make_release, make_rollout, storage

__all__ = ["storage"]
pytestmark = pytest.mark.django_db
ADDRESS = "/rollouts/new"


@pytest.fixture(autouse=True)
def mail_server(settings: Any) -> None:
    settings.EMAIL_IS_CONFIGURED = True


@pytest.fixture
def page(alice_member: Membership) -> Client:
    return browser(alice_member)


@pytest.fixture
def form(acme: Cast, alice: Actor) -> dict[str, Any]:
    """The three choices that a plan needs, with a name."""
    with tenant(acme.id):
        release = make_release(alice)
    return {"name": "to the lab", "release": str(release.id), "strategy": "rolling"}


def made(acme: Cast) -> Rollout:
    with tenant(acme.id):
        found: Rollout = Rollout.objects.for_org(acme.id).get()
        return found


def test_three_choices_make_the_plainest_plan(
    page: Client, acme: Cast, form: dict[str, Any]
) -> None:
    assert page.post(ADDRESS, form).status_code == 302
    phases = tuple(PhasePlan(percent) for percent in (25, 50, 75, 100))
    assert made(acme).planned() == Plan(phases).checked()


def test_every_field_reaches_the_plan(page: Client, acme: Cast, form: dict[str, Any]) -> None:
    factories.device(acme.id, "lab-7", tags=["lab"])
    more = {
        **{"gate": "sequential", "good": "0,5", "bad": "4", "alpha": "1", "beta": "2"},
        **{"soak": "30", "minimum": "3", "if_clean": "1", "between": "1"},
        **{"rate": "20", "growth": "25", "rate_most": "90", "in_flight": "7"},
        **{"window": ["0", "4"], "w0-start": "22:00", "w0-end": "04:30", "w0-day": ["1", "5"]},
        **{"w4-day": ["6"], "time_zone": "Europe/Oslo", "blackout": "2198-12-25, 2198-12-24"},
        **{"limit_installing": "90 s", "bandwidth": "500", "timeout": "2 h", "downgrade": "1"},
        **{"start_at": "2199-01-01T10:00", "end_at": "2199-02-01T10:00"},
        **{"mode": "confirmed", "reboot": "never", "attempts": "3", "backoff": "5 min"},
        **{"priority": "-4", "filter": "tags:lab OR name:acme", "exclude": "Pinned"},
        **{"target_percent": "40", "target_maximum": "9", "dynamic": "1"},
        **{"mail": "ops@example.com, a@b.example", "occasion": ["halted"], "failures_above": "2"},
    }
    answer = page.post(ADDRESS, {**form, **more})
    assert answer.status_code == 302, answer.context and answer.context["errors"]
    rollout = made(acme)
    plan = rollout.planned()
    first, second = plan.phases[:2]
    gate = first.gate
    assert (gate.kind, str(gate.acceptable_rate)) == (GateKind.SEQUENTIAL, "0.005")
    assert (str(gate.alpha), str(gate.beta)) == ("0.01", "0.02")
    assert (gate.minimum_soak_seconds, gate.minimum_devices) == (1800, 3)
    assert gate.on_exhausted.value == "promote_if_clean"
    assert (first.needs_approval, second.needs_approval) == (False, True)
    assert (first.rate, first.maximum_in_flight) == (Rate(20, 125, 90), 7)
    assert plan.schedule.windows == (
        Window(22 * 60, 4 * 60 + 30, (1, 5)),
        Window(0, 1440, (6,)),
    )
    assert plan.schedule.time_zone == "Europe/Oslo"
    assert plan.schedule.start_at is not None
    assert plan.schedule.start_at.isoformat() == "2199-01-01T10:00:00+00:00"
    assert [day.day for day in plan.schedule.blackout_dates] == [24, 25]
    rules = plan.installation
    assert (rules.step_timeouts, rules.maximum_bytes_per_second) == ({"installing": 90}, 500_000)
    assert rules.allow_downgrade
    assert rollout.deployment_timeout_seconds == 7200
    assert (rules.mode, rules.reboot) == (Mode.CONFIRMED, Reboot.NEVER)
    assert (rules.maximum_attempts, rules.backoff_seconds, plan.priority) == (3, 300, -4)
    assert rollout.target["filter"] == "tags:lab OR name:acme"
    assert rollout.excluded["tags"] == ["pinned"]
    assert (rollout.target["percent"], rollout.target["maximum"]) == (40, 9)
    assert plan.is_dynamic
    assert plan.notifications == Notifications(("ops@example.com", "a@b.example"), ("halted",), 2)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("phases", {"strategy": "own"}),
        ("phases", {"strategy": "own", "phase": ["0", "1"], "p0-size": "50", "p1-size": "40"}),
        ("p1-size", {"strategy": "own", "phase": ["0", "1"], "p0-size": "5", "p1-size": "ten"}),
        ("p1-size", {"strategy": "own", "phase": ["0", "1"], "p0-size": "5", "p1-size": "101"}),
        ("p0-approval", {"strategy": "own", "phase": "0", "p0-size": "100", "p0-approval": "1"}),
        (
            "p7-bad",
            {"strategy": "own", "phase": "7", "p7-size": "100", "p7-own": "1", "p7-bad": "0"},
        ),
        ("bad", {"gate": "sequential", "good": "5", "bad": "4"}),
        ("good", {"gate": "sequential", "good": "NaN"}),
        ("good", {"gate": "sequential", "good": "1e99999999"}),
        ("alpha", {"gate": "sequential", "alpha": "0"}),
        ("soak", {"soak": "9999999"}),
        ("p0-filter", {"strategy": "own", "phase": "0", "p0-unit": "filter"}),
        (
            "conditions",
            {
                "c_metric": "cpu_ratio",
                "c_comparison": "above",
                "c_limit": "hot",
                "c_good": "5",
                "c_bad": "20",
            },
        ),
        ("rate", {"rate": "many"}),
        ("rate", {"rate": "-1"}),
        ("rate", {"growth": "10"}),
        ("growth", {"rate": "1", "growth": "5000"}),
        ("in_flight", {"in_flight": "99999999999"}),
        ("windows", {"window": "0", "w0-start": "22:00"}),
        ("windows", {"window": "0", "w0-start": "25:00", "w0-end": "01:00"}),
        ("time_zone", {"time_zone": "../etc/passwd"}),
        ("blackout", {"blackout": "christmas"}),
        ("soak", {"soak": "soon"}),
        ("limit_rebooting", {"limit_rebooting": "99 d"}),
        ("bandwidth", {"bandwidth": "fast"}),
        ("start_at", {"start_at": "9999-12-31T23:59"}),
        ("start_at", {"start_at": "0001-01-01T00:00+14:00"}),
        ("end_at", {"end_at": "2001-01-01T00:00"}),
        ("attempts", {"attempts": "11"}),
        ("priority", {"priority": "101"}),
        ("filter", {"filter": "conectivity = offline"}),
        ("release", {"release": "none"}),
        ("target_percent", {"target_percent": "101"}),
        ("target_maximum", {"target_maximum": "-1"}),
        ("mail", {"mail": "nobody"}),
        ("mail", {"mail": "", "occasion": "halted"}),
        ("mail", {"mail": "a@b.example", "occasion": "christmas"}),
        ("failures_above", {"mail": "a@b.example", "failures_above": "few"}),
        ("devices", {"devices": "no-id"}),
        ("name", {"name": "  "}),
    ],
)
def test_a_mistake_is_shown_at_its_field_and_nothing_is_lost(
    page: Client, form: dict[str, Any], field: str, values: dict[str, str]
) -> None:
    if "time_zone" in values:
        values = {**values, "window": "0", "w0-start": "01:00", "w0-end": "02:00"}
    answer = page.post(ADDRESS, {**form, **values})
    assert answer.status_code == 400
    assert list(answer.context["errors"]) == [field]
    text = answer.content.decode()
    assert 'class="field-error"' in text
    if field in ("soak", "rate", "priority", "limit_rebooting", "mail", "time_zone", "devices"):
        assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', text)
    preview = page.get(f"{ADDRESS}/preview", {**form, **values})
    assert preview.status_code == 200


def test_the_preview_counts_what_filter_and_exclusions_leave(
    page: Client, acme: Cast, form: dict[str, Any]
) -> None:
    for name in ("lab-1", "lab-2"):
        factories.device(acme.id, name, tags=["lab", name])
    asked = {**form, "filter": "tags:lab", "exclude": "lab-2"}
    text = page.get(f"{ADDRESS}/preview", asked).content.decode()
    assert '<div class="big-number">1</div>' in text
    assert "code=excluded" in text
    listed = page.post(f"{ADDRESS}/excluded?code=excluded", asked).content.decode()
    assert "lab-2" in listed
    assert "lab-1" not in listed


def sent(rollout: Rollout) -> dict[str, list[str]]:
    """What a browser sends of an untouched form."""
    return dict(values_of(rollout).lists())


WARM = MetricCondition(
    Metric.TEMPERATURE_CELSIUS,
    Decimal("7.5"),
    Comparison.RISEN_BY,
    Decimal("0.1"),
    Decimal("0.35"),
)
BUSY = MetricCondition(Metric.CPU_RATIO, Decimal("0.9"))
PLANS = [
    Plan(),
    Plan((PhasePlan(1), PhasePlan(10), PhasePlan(50), PhasePlan(100))),
    Plan((PhasePlan(25), *(PhasePlan(p, needs_approval=True) for p in (50, 75, 100)))),
    Plan((PhasePlan(25, needs_approval=False), PhasePlan(50, needs_approval=True), PhasePlan(100))),
    Plan((PhasePlan(0, filter="tags:lab"), PhasePlan(50), PhasePlan(100))),
    Plan(
        (
            PhasePlan(50, gate=GatePolicy(has_control=True, conditions=(WARM, BUSY))),
            PhasePlan(100, gate=GatePolicy(conditions=(BUSY,))),
        )
    ),
    Plan(
        (
            PhasePlan(0, 7, "Lab", GatePolicy(minimum_soak_seconds=90), rate=Rate(3, 120, 9)),
            PhasePlan(
                20,
                gate=GatePolicy(
                    GateKind.SEQUENTIAL,
                    Decimal("0.003"),
                    Decimal("0.0425"),
                    Decimal("0.1"),
                    Decimal("0.01"),
                    5,
                    7200,
                    OnExhausted.PROMOTE_IF_CLEAN,
                ),
                maximum_in_flight=4,
            ),
            PhasePlan(100, gate=GatePolicy(minimum_soak_seconds=90), rate=Rate(3, 120, 9)),
        ),
        Schedule(
            datetime(2199, 1, 1, 10, 0, 30, tzinfo=UTC),
            datetime(2199, 2, 1, tzinfo=UTC),
            (Window(1320, 240, (1, 2)), Window(0, 1440, (6,)), Window(60, 61)),
            (date(2199, 1, 6),),
            "Europe/Oslo",
        ),
        Installation(
            Mode.CONFIRMED,
            Reboot.NEVER,
            1_234_567,
            4,
            0,
            {"verifying": 61, "downloading": 3600},
        ),
        -3,
        is_dynamic=True,
        notifications=Notifications(("ops@example.com",), ("started", "halted"), 3),
    ),
]


@pytest.mark.parametrize("plan", PLANS)
def test_a_form_filled_from_a_plan_makes_that_plan(
    page: Client, alice: Actor, acme: Cast, plan: Plan
) -> None:
    with tenant(acme.id):
        rollout = make_rollout(alice, make_release(alice), plan=plan)
    assert filled(values_of(rollout)).plan.checked() == rollout.planned()
    assert page.post(f"/rollouts/{rollout.id}/plan?step=how", sent(rollout)).status_code == 302
    assert made(acme).event_count == rollout.event_count


def test_each_step_has_an_address_and_keeps_what_was_filled_in(
    page: Client, acme: Cast, form: dict[str, Any]
) -> None:
    second = page.post(f"{ADDRESS}?step=what", {**form, "go": "who"})["Location"]
    assert "step=who" in second
    assert 'value="to the lab"' in page.get(second).content.decode()
    answer = page.post(second, {**form, "filter": "name:acme", "go": "how"})
    rollout = made(acme)
    assert answer["Location"] == f"/rollouts/{rollout.id}/plan?step=how"
    assert rollout.state == "draft"
    page.post(answer["Location"], {**form, "filter": "name:acme", "soak": "5 min", "go": "what"})
    gate = made(acme).planned().phases[0].gate
    assert gate.minimum_soak_seconds == 300
    review = page.get(f"/rollouts/{rollout.id}/plan?step=review").content.decode()
    assert "A dry run of this plan went through" in review
    assert 'data-dialog-open="start"' in review


def test_a_part_of_a_target_stays_when_its_plan_is_opened_and_stored(
    page: Client, alice: Actor, acme: Cast
) -> None:
    factories.device(acme.id, "lab-7")
    with tenant(acme.id):
        rollout = make_rollout(alice, make_release(alice), target=Target(percent=5, maximum=3))
    values = {**sent(rollout), "soak": "5 min"}
    assert page.post(f"/rollouts/{rollout.id}/plan?step=how", values).status_code == 302
    assert (made(acme).target["percent"], made(acme).target["maximum"]) == (5, 3)


def test_a_second_window_does_not_undo_the_first_without_a_word(
    page: Client, alice: Actor, acme: Cast
) -> None:
    with tenant(acme.id):
        rollout = make_rollout(alice, make_release(alice))
    address = f"/rollouts/{rollout.id}/plan?step=how"
    opened = {**sent(rollout), "seen": page.get(address).context["seen"]}
    assert page.post(address, {**opened, "in_flight": "7"}).status_code == 302
    answer = page.post(address, {**opened, "rate": "9"})
    assert answer.status_code == 409
    assert "changed in another window" in answer.content.decode()
    assert made(acme).planned().phases[0].maximum_in_flight == 7
    knowing = {**opened, "rate": "9", "seen": answer.context["seen"]}
    assert page.post(address, knowing).status_code == 302
    assert made(acme).planned().phases[0].rate == Rate(9)


def test_going_back_keeps_a_mistake_and_stores_nothing(
    page: Client, acme: Cast, form: dict[str, Any]
) -> None:
    answer = page.post(f"{ADDRESS}?step=how", {**form, "soak": "soon", "go": "who"})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert 'value="soon"' in text
    assert "is not stored yet" in text
    with tenant(acme.id):
        assert not Rollout.objects.for_org(acme.id).exists()


def test_a_scheduled_plan_changes_only_where_that_is_asked_for(
    page: Client, alice: Actor, acme: Cast
) -> None:
    with tenant(acme.id):
        rollout = submit_rollout(alice, make_rollout(alice, make_release(alice)).id)
    address = f"/rollouts/{rollout.id}/plan?step=what"
    assert "makes it a draft again" in page.get(address).content.decode()
    values = values_of(rollout)
    values["name"] = "renamed"
    values["go"] = "review"
    assert "renamed" in page.post(address, values).content.decode()
    assert (made(acme).name, made(acme).state) == (rollout.name, "scheduled")
    values["go"] = "save"
    assert page.post(address, values).status_code == 302
    assert (made(acme).name, made(acme).state) == ("renamed", "draft")


def test_a_started_plan_is_not_changed(page: Client, alice: Actor, acme: Cast) -> None:
    with tenant(acme.id):
        rollout = start_rollout(alice, make_rollout(alice, make_release(alice)).id)
    address = f"/rollouts/{rollout.id}/plan"
    assert page.get(address)["Location"] == f"/rollouts/{rollout.id}"
    assert page.post(address, values_of(rollout))["Location"] == f"/rollouts/{rollout.id}"
    assert made(acme).state == "running"


def test_who_may_not_plan_sees_no_plan_form(
    bob_member: Membership, charlie_member: Membership, alice: Actor, acme: Cast
) -> None:
    with tenant(acme.id):
        rollout = make_rollout(alice, make_release(alice))
    address = f"/rollouts/{rollout.id}/plan"
    assert browser(bob_member).get(address).status_code == 403
    assert browser(bob_member).post(address, values_of(rollout)).status_code == 403
    assert browser(charlie_member).get(address).status_code == 404


def test_rows_are_added_and_taken_out_without_storing(
    page: Client, acme: Cast, form: dict[str, Any]
) -> None:
    answer = page.post(f"{ADDRESS}?step=how", {**form, "act": "customize"})
    rows = answer.context["values"]["phases"]
    assert [row["size"] for row in rows] == ["25", "50", "75", "100"]
    own = {"strategy": "own", "phase": ["0", "1"], "p0-size": "5", "p1-size": "100"}
    added = page.post(f"{ADDRESS}?step=how", {**form, **own, "act": "add-phase"})
    assert [row["key"] for row in added.context["values"]["phases"]] == ["0", "1", "2"]
    gone = page.post(f"{ADDRESS}?step=how", {**form, **own, "act": "remove-phase:0"})
    assert [row["size"] for row in gone.context["values"]["phases"]] == ["100"]
    more = page.post(f"{ADDRESS}?step=how", {**form, "window": "0", "act": "add-window"})
    assert len(more.context["values"]["windows"]) == 2
    with tenant(acme.id):
        assert not Rollout.objects.for_org(acme.id).exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id,name\n{a},x\n{b},y\n", True),
        ("{a}\n\n{b}\n", True),
        ("name,id\nx,{a}\ny,{b}\n", True),
        ("id\n{a}\nnonsense\n", False),
        ("\x00\xff", False),
    ],
)
def test_device_ids_come_from_a_list(
    page: Client, acme: Cast, form: dict[str, Any], text: str, found: bool
) -> None:
    a, b = (str(device.id) for device in acme.devices[:2])
    content = text.replace("{a}", a).replace("{b}", b).encode("latin-1")
    file = SimpleUploadedFile("devices.csv", content)
    answer = page.post(f"{ADDRESS}?step=who", {**form, "act": "read-list", "list": file})
    assert answer.context["values"]["devices"] == (f"{a}\n{b}" if found else "")
    assert ("devices" in answer.context["errors"]) is not found


def test_a_release_is_chosen_by_its_channel_and_kept(
    page: Client, acme: Cast, alice: Actor, form: dict[str, Any]
) -> None:
    with tenant(acme.id):
        promote_release(alice, UUID(form["release"]), channel="stable")
    chosen = {**form, "release": f"{form['release']}@stable"}
    shown = page.get(ADDRESS, {**chosen, "step": "who"}).content.decode()
    assert f'value="{chosen["release"]}"' in shown
    assert page.post(ADDRESS, chosen).status_code == 302
    rollout = made(acme)
    assert str(rollout.release_id) == form["release"]
    with tenant(acme.id):
        entries = AuditEntry.objects.for_org(acme.id)
        assert entries.get(action="updates.create_rollout").changes["channel"] == "stable"


def test_a_channel_that_moved_while_one_planned_is_said_and_nothing_is_stored(
    page: Client, acme: Cast, alice: Actor, form: dict[str, Any]
) -> None:
    with tenant(acme.id):
        promote_release(alice, UUID(form["release"]), channel="stable")
        newer = make_release(alice, "2.0.0", b"two\n")
        promote_release(alice, newer.id, channel="stable")
    answer = page.post(ADDRESS, {**form, "release": f"{form['release']}@stable"})
    assert answer.status_code == 400
    assert "points at another release by now" in answer.content.decode()
    with tenant(acme.id):
        assert not Rollout.objects.for_org(acme.id).exists()
