"""A rollout's plan as YAML: on its page, and as a file."""

from collections.abc import Callable

import pytest
import yaml
from django.test import Client

from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.updates.domain.manifest import parse_manifest
from apps.updates.models import Rollout
from tests import factories
from tests.factories import Cast
from tests.web.test_rollout_decisions import fleet, page, planned, storage

__all__ = ["fleet", "page", "planned", "storage"]
pytestmark = pytest.mark.django_db


def test_the_page_leads_to_the_yaml_and_the_yaml_to_its_file(
    page: Client, planned: Callable[..., Rollout]
) -> None:
    rollout = planned()
    address = f"/rollouts/{rollout.id}/manifest"
    assert address in page.get(f"/rollouts/{rollout.id}").content.decode()
    part = page.get(address).content.decode()
    assert "apiVersion: fleet/v1" in part
    assert f"{address}.yaml" in part
    answer = page.get(f"{address}.yaml")
    assert answer["Content-Type"] == "application/yaml; charset=utf-8"
    assert answer["Content-Disposition"].endswith(f'"rollout-{rollout.id}.yaml"')
    assert parse_manifest(answer.content.decode()).name == rollout.name


def test_names_of_devices_and_rollouts_are_text_in_the_page(
    page: Client, planned: Callable[..., Rollout], acme: Cast
) -> None:
    rollout = planned()
    with tenant(acme.id):
        Rollout.objects.for_org(acme.id).filter(id=rollout.id).update(name="<b>x</b>: y")
    assert "<b>x" not in page.get(f"/rollouts/{rollout.id}/manifest").content.decode()
    text = page.get(f"/rollouts/{rollout.id}/manifest.yaml").content.decode()
    assert yaml.safe_load(text)["metadata"]["name"] == "<b>x</b>: y"


def test_what_no_manifest_can_say_is_said_in_its_place(
    page: Client, planned: Callable[..., Rollout], acme: Cast
) -> None:
    rollout, source = planned(), planned("2.0.0")
    with tenant(acme.id):
        Rollout.objects.for_org(acme.id).filter(id=rollout.id).update(rolls_back=source)
    answer = page.get(f"/rollouts/{rollout.id}/manifest")
    assert answer.status_code == 200
    assert "no manifest can say that" in answer.content.decode()


def test_strangers_find_neither(planned: Callable[..., Rollout], globex: Cast) -> None:
    rollout = planned()
    stranger = Client()
    stranger.force_login(factories.membership(globex.id, factories.user(), Role.OWNER).user)
    for ending in ("", ".yaml"):
        assert stranger.get(f"/rollouts/{rollout.id}/manifest{ending}").status_code == 404
