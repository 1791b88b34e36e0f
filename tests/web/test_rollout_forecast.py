"""The forecast on a rollout's page and over REST: for whoever sees the rollout, and nobody else."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache
from django.test import Client

from apps.core.limits import forget
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.domain.forecast import Spread
from apps.updates.models import Rollout
from apps.updates.services import forecasts
from apps.updates.ui.forecast import bar, length, when
from fleetctl import forecasts as cli
from tests.factories import Cast
from tests.updates.conftest import Fleet
from tests.updates.test_forecast_rollout import DAY, watched
from tests.web.test_rollout_decisions import browser, fleet, page, planned, running, storage

__all__ = ["fleet", "page", "planned", "storage"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_is_remembered(acme: Cast) -> None:
    cache.clear()
    forget("forecast", str(acme.id))


def text_of(client: Client, rollout: Rollout) -> str:
    answer = client.get(f"/rollouts/{rollout.id}/forecast")
    assert answer.status_code == 200
    assert "style=" not in answer.content.decode()
    return " ".join(answer.content.decode().split())


def know(acme: Cast, device_ids: list[UUID]) -> None:
    with tenant(acme.id):
        for device_id in device_ids:
            watched(device_id, acme.id, (12 * 24, 0.1))


def test_the_page_of_a_draft_asks_for_its_forecast_and_that_of_a_running_one_does_not(
    page: Client, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = planned()
    assert (
        f"/rollouts/{rollout.id}/forecast" in page.get(f"/rollouts/{rollout.id}").content.decode()
    )
    running(fleet, rollout)
    text = page.get(f"/rollouts/{rollout.id}").content.decode()
    assert f"/rollouts/{rollout.id}/forecast" not in text


def test_it_says_what_it_expects_and_what_that_is_based_on(
    page: Client, acme: Cast, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    know(acme, fleet.device_ids[:1])
    text = text_of(page, planned())
    assert f"history of 1 of {len(fleet.device_ids)} devices over 12 days; the others were" in text
    assert "A phase waits for somebody to open it" in text
    assert "Peak download" in text
    assert "Mbit/s" in text
    assert "There is no history yet" not in text


def test_a_fleet_without_history_is_told_so(page: Client, planned: Callable[..., Rollout]) -> None:
    text = text_of(page, planned())
    assert "There is no history yet" in text
    assert "No device was watched for a quarter of an hour yet." in text


def test_what_keeps_it_from_being_made_is_said_in_its_place(
    page: Client,
    fleet: Fleet,
    planned: Callable[..., Rollout],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rollout = planned()
    monkeypatch.setattr(forecasts, "MAXIMUM_DEVICES", 1)
    text = text_of(page, rollout)
    assert "A forecast takes at most 1 devices" in text
    assert "Try again" in text
    running(fleet, rollout)
    assert "has not started yet" in text_of(page, rollout)


def test_another_organization_finds_nothing_and_viewers_may_look(
    charlie_member: Membership, bob_member: Membership, planned: Callable[..., Rollout]
) -> None:
    rollout = planned()
    stranger = browser(charlie_member)
    assert stranger.get(f"/rollouts/{rollout.id}/forecast").status_code == 404
    answer = stranger.get(f"/api/v1/rollouts/{rollout.id}/forecast")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert browser(bob_member).get(f"/rollouts/{rollout.id}/forecast").status_code == 200


def test_rest_answers_the_same_for_the_same_seed(
    page: Client, acme: Cast, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    know(acme, fleet.device_ids)
    rollout = planned()
    url = f"/api/v1/rollouts/{rollout.id}/forecast?seed=5&runs=40"
    first = page.get(url).json()
    assert (first["seed"], first["runs"], first["devices_with_history"]) == (5, 40, 2)
    assert [phase["devices"] for phase in first["phases"]] == [1, 1]
    assert first["phases"][1]["finish_seconds"]["p50"] is None
    assert first["unforeseen"] == ["approval"]
    assert page.get(url).json() == first
    bad = page.get(f"/api/v1/rollouts/{rollout.id}/forecast?runs=501")
    assert bad.status_code in (400, 422)


def test_a_started_rollout_is_refused_with_its_code(
    page: Client, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = running(fleet, planned())
    answer = page.get(f"/api/v1/rollouts/{rollout.id}/forecast")
    assert answer.json()["code"] == "rollout_not_forecastable"


def test_fleetctl_prints_the_figures_and_their_basis(
    page: Client,
    acme: Cast,
    fleet: Fleet,
    planned: Callable[..., Rollout],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from fleetctl.cli import main

    know(acme, fleet.device_ids)
    rollout = planned()

    class Door:
        def get(self, path: str, **query: Any) -> Any:
            return page.get(f"/api/v1/{path}", query).json()

    monkeypatch.setattr(cli, "connect", lambda options: Door())
    assert main(["rollouts", "forecast", str(rollout.id), "--seed", "3", "--runs", "20"]) == 0
    printed = capsys.readouterr().out
    assert "Phase 1 passed" in printed
    assert "of 20 runs (seed 3)" in printed
    assert "history of 2 of 2 devices over 12.0d" in printed
    assert "not foreseen: approval" in printed
    assert main(["rollouts", "forecast", str(rollout.id), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["rollout_id"] == str(rollout.id)


@pytest.mark.parametrize(
    ("spread", "words"),
    [
        (Spread(7200, 14400, 36000), "after 2.0 h to 10 h, most likely 4.0 h"),
        (Spread(30, 30, 30), "after about 30 s"),
        (Spread(7200, 14400, None), "after 2.0 h at the earliest, likely 4.0 h, and maybe not"),
        (Spread(7200, None, None), "after 2.0 h at the earliest, and more likely not"),
        (Spread(None, None, None), "not by itself"),
    ],
)
def test_times_are_said_in_words(spread: Spread, words: str) -> None:
    assert when(spread).startswith(words)


def test_bars_lie_on_the_scale_whatever_is_shown() -> None:
    for spread in (Spread(0, 0, 0), Spread(0, 10, 10), Spread(10, 10, 10), Spread(9, None, None)):
        found = bar(spread, 10)
        assert found is not None
        assert 0 <= found["start"] <= found["start"] + found["width"] <= 1000
        assert found["middle"] is None or 0 <= found["middle"] <= 994
    assert bar(Spread(None, None, None), 10) is None
    assert length(DAY.total_seconds() * 2.26) == "2.3 d"
