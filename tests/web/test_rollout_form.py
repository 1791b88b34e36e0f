"""The form of a new rollout: the few choices that most need, and all the others."""

from typing import Any

import pytest
from django.test import Client

from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.domain.gates import GateKind
from apps.updates.domain.installation import Mode, Reboot
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import Window
from apps.updates.models import Rollout
from tests import factories
from tests.bars.audited import browser
from tests.factories import Cast
from tests.updates.conftest import make_release, storage

__all__ = ["storage"]
pytestmark = pytest.mark.django_db
ADDRESS = "/rollouts/new"


@pytest.fixture
def page(alice_member: Membership) -> Client:
    return browser(alice_member)


@pytest.fixture
def form(acme: Cast, alice: Actor) -> dict[str, Any]:
    """The three choices that a plan needs, with a name."""
    with tenant(acme.id):
        release = make_release(alice)
    return {"name": "to the lab", "release": str(release.id), "strategy": "halves"}


def made(acme: Cast) -> Rollout:
    with tenant(acme.id):
        found: Rollout = Rollout.objects.for_org(acme.id).get()
        return found


def test_three_choices_make_the_plainest_plan(
    page: Client, acme: Cast, form: dict[str, Any]
) -> None:
    assert page.post(ADDRESS, form).status_code == 302
    phases = tuple(PhasePlan(percent) for percent in (10, 50, 100))
    assert made(acme).planned() == Plan(phases).checked()


def test_every_field_reaches_the_plan(page: Client, acme: Cast, form: dict[str, Any]) -> None:
    factories.device(acme.id, "lab-7", tags=["lab"])
    more = {
        **{"gate": "sequential", "good": "0,5", "bad": "4", "alpha": "1", "beta": "2"},
        **{"soak": "30", "minimum": "3", "if_clean": "1", "between": "1"},
        **{"rate": "20", "in_flight": "7", "window_start": "22:00", "window_end": "04:30"},
        **{"weekday": ["1", "5"], "time_zone": "Europe/Oslo"},
        **{"start_at": "2199-01-01T10:00", "end_at": "2199-02-01T10:00"},
        **{"mode": "confirmed", "reboot": "never", "attempts": "3", "backoff": "5"},
        **{"priority": "-4", "filter": "tags:lab OR name:acme", "exclude": "Pinned"},
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
    assert (first.rate, first.maximum_in_flight) == (Rate(20), 7)
    assert plan.schedule.windows == (Window(22 * 60, 4 * 60 + 30, (1, 5)),)
    assert plan.schedule.time_zone == "Europe/Oslo"
    assert plan.schedule.start_at is not None
    assert plan.schedule.start_at.isoformat() == "2199-01-01T10:00:00+00:00"
    rules = plan.installation
    assert (rules.mode, rules.reboot) == (Mode.CONFIRMED, Reboot.NEVER)
    assert (rules.maximum_attempts, rules.backoff_seconds, plan.priority) == (3, 300, -4)
    assert rollout.target["filter"] == "tags:lab OR name:acme"
    assert rollout.excluded["tags"] == ["pinned"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("percents", {"strategy": "own", "percents": "50, 40"}),
        ("percents", {"strategy": "own", "percents": "ten"}),
        ("bad", {"gate": "sequential", "good": "5", "bad": "4"}),
        ("good", {"gate": "sequential", "good": "NaN"}),
        ("good", {"gate": "sequential", "good": "1e99999999"}),
        ("alpha", {"gate": "sequential", "alpha": "0"}),
        ("soak", {"soak": "9999999"}),
        ("rate", {"rate": "many"}),
        ("rate", {"rate": "-1"}),
        ("in_flight", {"in_flight": "99999999999"}),
        ("windows", {"window_start": "22:00"}),
        ("windows", {"window_start": "25:00", "window_end": "01:00"}),
        ("time_zone", {"window_start": "1:00", "time_zone": "../etc/passwd"}),
        ("start_at", {"start_at": "9999-12-31T23:59"}),
        ("start_at", {"start_at": "0001-01-01T00:00+14:00"}),
        ("end_at", {"end_at": "2001-01-01T00:00"}),
        ("attempts", {"attempts": "11"}),
        ("priority", {"priority": "101"}),
        ("filter", {"filter": "conectivity = offline"}),
        ("release", {"release": "none"}),
        ("devices", {"devices": "no-id"}),
        ("name", {"name": "  "}),
    ],
)
def test_a_mistake_is_shown_at_its_field_and_nothing_is_lost(
    page: Client, form: dict[str, Any], field: str, values: dict[str, str]
) -> None:
    if "time_zone" in values:
        values = {**values, "window_start": "01:00", "window_end": "02:00"}
    answer = page.post(ADDRESS, {**form, **values})
    assert answer.status_code == 400
    assert list(answer.context["errors"]) == [field]
    text = answer.content.decode()
    assert answer.context["errors"][field][0].split("'")[0].split('"')[0] in text
    assert 'class="field-error"' in text
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
