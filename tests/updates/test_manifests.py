"""Rollouts made of manifests, and written back."""

import hashlib
import io
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import NotFound, PermissionDenied
from apps.devices.models import Device
from apps.organizations.models import Membership
from apps.updates.domain.manifest import parse_manifest
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.errors import InvalidManifest, ManifestCannotSay
from apps.updates.models import Release, Rollout
from apps.updates.selectors.manifests import export_manifest
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.channels import promote_release
from apps.updates.services.manifests import create_from_manifest
from apps.updates.services.planning import update_rollout
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from tests import factories
from tests.factories import Cast
from tests.rest.conftest import Api
from tests.updates.conftest import Fleet, make_release, make_rollout

# Fixed, so that every worker collects the same tests.
NOBODY = "01900000-0000-7000-8000-000000000000"
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "iot-sensor-update.yaml"
FIRMWARE, CONFIG = b"\x7fELF" * (524288 // 4), b'{"interval": 5}'
LABELS = {"device-type": "temp-sensor-mk3", "environment": "production", "region": "us-west"}
SMALL = """\
apiVersion: fleet/v1
kind: Deployment
metadata: {name: Say hello, labels: {team: lab}, annotations: {description: first}}
spec:
  selector: {all: true}
  template: {spec: {release: {name: hello, version: 1.0.0}}}
"""


def example() -> str:
    """The published example, edited, for the files that are stored here."""
    found = yaml.safe_load(EXAMPLE.read_text())["spec"]["template"]["spec"]["artifacts"]
    text = EXAMPLE.read_text()
    for artifact, content in zip(found, (FIRMWARE, CONFIG), strict=True):
        digest = hashlib.sha256(content).hexdigest()
        text = text.replace(artifact["checksum"], f"sha256:{digest}")
    return text


@pytest.fixture
def sensors(acme: Cast, alice: Actor, in_acme: None) -> list[Device]:
    """The files of the example, and devices that it selects."""
    for name, content in (("sensor.bin", FIRMWARE), ("config.json", CONFIG)):
        store_artifact(alice, name=name, file=io.BytesIO(content))
    warm: dict[str, Any] = {"temperature_celsius": 21.0, "last_seen_at": "2026-11-23T00:00:00Z"}
    inventory = {"facts": LABELS}
    return [factories.device(acme.id, inventory=inventory, state=warm) for _ in range(40)]


def refused(actor: Actor, text: str) -> list[tuple[int, int, str]]:
    """Line, column and message of everything that is refused."""
    with pytest.raises(InvalidManifest) as caught:
        create_from_manifest(actor, text)
    assert not Rollout.objects.for_org(actor.organization_id).exists()
    return [(p["line"], p["column"], p["message"]) for p in caught.value.data["problems"]]


def test_the_published_example_makes_a_release_and_a_rollout_that_starts(
    alice: Actor, sensors: list[Device]
) -> None:
    rollout = create_from_manifest(alice, example())
    assert rollout.name == "temp-sensor-firmware-v2.4.1"
    assert str(rollout.release) == "sensor-firmware v2.4.1"
    assert rollout.requires_approval
    assert rollout.deployment_timeout_seconds == 900
    assert [phase.total for phase in rollout.phases.all()] == [1, 3, 16, 20]
    assert {phase.maximum_in_flight for phase in rollout.planned().phases} == {2}
    assert rollout.annotations["jira-ticket"] == "IOT-2843"
    firmware, config = rollout.release.components.all()
    assert firmware.hooks["before"]["command"][:2] == ["/bin/sh", "-ec"]
    assert len(config.checks) == 3
    stored = Rollout.objects.for_org(alice.organization_id).get()
    stored.requires_approval = False
    stored.save()
    started = start_rollout(alice, rollout.id)
    assert [phase.total for phase in started.phases.all()] == [1, 3, 16, 20]


def test_the_same_release_is_taken_again(alice: Actor, sensors: list[Device]) -> None:
    first = create_from_manifest(alice, example())
    second = create_from_manifest(alice, example())
    assert first.release_id == second.release_id
    assert Release.objects.for_org(alice.organization_id).count() == 1


def test_a_version_with_other_content_is_refused(alice: Actor, sensors: list[Device]) -> None:
    create_from_manifest(alice, example())
    with pytest.raises(InvalidManifest, match="releases never change"):
        create_from_manifest(alice, example().replace("port: 1883", "port: 8883"))


def test_a_dry_run_leaves_nothing(alice: Actor, sensors: list[Device]) -> None:
    entries = AuditEntry.objects.for_org(alice.organization_id).count()
    rollout = create_from_manifest(alice, example(), validate_only=True)
    assert [phase.total for phase in rollout.phases.all()] == [1, 3, 16, 20]
    for model in (Release, Rollout):
        assert not model.objects.for_org(alice.organization_id).exists()
    assert AuditEntry.objects.for_org(alice.organization_id).count() == entries


def test_files_that_are_not_stored_are_named_at_their_lines(
    alice: Actor, sensors: list[Device]
) -> None:
    digest = hashlib.sha256(CONFIG).hexdigest()
    text = example().replace(digest, "0" * 64).replace("size: 524288", "size: 524289")
    problems = refused(alice, text)
    assert [message[:12] for _, _, message in problems] == ["The stored f", "No file with"]
    line = 1 + text[: text.index("0" * 64)].count("\n")
    assert problems[1][:2] == (line, 19)


def test_what_devices_do_not_report_cannot_be_checked(alice: Actor, sensors: list[Device]) -> None:
    text = example().replace("device_temperature > -10 &&", "battery_percentage > 30 &&")
    ((_, _, message),) = refused(alice, text)
    assert "battery_percentage" in message
    assert "hook" in message


@pytest.mark.parametrize(
    ("before", "after", "words", "column"),
    [
        ("{all: true}", "{tags: [nowhere]}", "names no active device", 3),
        ("{all: true}", "{filter: 'modle = \"x\"'}", "did you mean", 22),
        ("{all: true}", "{groups: [lab]}", "no device group 'lab'", 22),
        ("{all: true}", f"{{deviceIds: [{NOBODY}]}}", "no such device", 3),
        ("{all: true}", f"{{groups: [{NOBODY}]}}", "no such device group", 3),
        ("1.0.0}", "2.0.0}", "There is no release hello 2.0.0", 53),
        ("}}}\n", "}, scheduling: {endAt: 2020-01-01T00:00:00Z}}}\n", "end has passed", 81),
    ],
)
def test_what_only_the_platform_knows_is_refused_at_its_place(
    alice: Actor, release: Release, before: str, after: str, words: str, column: int
) -> None:
    ((_, found, message),) = refused(alice, SMALL.replace(before, after))
    assert words in message
    assert found == column


def test_groups_can_be_named(alice: Actor, acme: Cast, release: Release) -> None:
    group = factories.group(acme.id, "lab")
    device = acme.devices[0]
    Device.objects.for_org(acme.id).filter(id=device.id).update(group_ids=[group.id])
    rollout = create_from_manifest(alice, SMALL.replace("{all: true}", "{groups: [lab]}"))
    assert rollout.target["group_ids"] == [str(group.id)]


def test_making_a_release_needs_the_right_to(acme: Cast, sensors: list[Device]) -> None:
    viewer = factories.actor(factories.membership(acme.id, factories.user(), Role.VIEWER))
    for text in (SMALL, example(), "nonsense"):
        with pytest.raises(PermissionDenied):
            create_from_manifest(viewer, text)


def test_a_manifest_of_another_organizations_ids_is_like_one_of_none(
    alice: Actor, globex: Cast, release: Release
) -> None:
    theirs = str(globex.devices[0].id)
    one = refused(alice, SMALL.replace("{all: true}", f"{{deviceIds: [{theirs}]}}"))
    other = refused(alice, SMALL.replace("{all: true}", f"{{deviceIds: [{uuid4()}]}}"))
    assert one == other


def test_what_is_exported_makes_the_same_rollout(alice: Actor, sensors: list[Device]) -> None:
    first = create_from_manifest(alice, example())
    text = export_manifest(alice, first.id)
    second = create_from_manifest(alice, text)
    for name in (
        *("name", "release_id", "plan", "target", "excluded", "labels", "annotations"),
        *("requires_approval", "deployment_timeout_seconds"),
    ):
        assert getattr(second, name) == getattr(first, name), name
    assert second.plan_hash == first.plan_hash
    assert export_manifest(alice, second.id) == text


def test_a_rollout_from_anywhere_can_be_exported(alice: Actor, release: Release) -> None:
    rollout = make_rollout(alice, release, phase_percents=(10, 100), excluded=Target(tags=("old",)))
    found = yaml.safe_load(export_manifest(alice, rollout.id))
    assert found["spec"]["exclude"] == {"tags": ["old"]}
    assert [step["weight"] for step in found["spec"]["strategy"]["canary"]["steps"]] == [10, 100]


def test_a_roll_back_cannot_be_exported(alice: Actor, release: Release) -> None:
    rollout, source = make_rollout(alice, release), make_rollout(alice, release)
    Rollout.objects.for_org(alice.organization_id).filter(id=rollout.id).update(rolls_back=source)
    with pytest.raises(ManifestCannotSay):
        export_manifest(alice, rollout.id)
    with pytest.raises(NotFound):
        export_manifest(alice, uuid4())


def test_an_edit_keeps_labels(alice: Actor, release: Release) -> None:
    rollout = create_from_manifest(alice, SMALL)
    plan = Plan((PhasePlan(100),))
    values = {"name": "x", "release_id": release.id, "target": Target(), "plan": plan}
    assert update_rollout(alice, rollout.id, **values).labels == {"team": "lab"}


@pytest.fixture
def api(alice_member: Membership) -> Api:
    """A client that acts as alice."""
    return Api(factories.api_key(alice_member))


@pytest.fixture
def hello(alice: Actor, in_acme: None) -> Release:
    """What the small manifest names."""
    return make_release(alice)


@pytest.mark.usefixtures("hello")
class TestRest:
    """`POST /api/v1/rollouts:manifest` and `GET /api/v1/rollouts/{id}/manifest`."""

    def test_json_and_yaml_do_the_same(self, api: Api) -> None:
        one = api.post("rollouts:manifest", manifest=SMALL)
        two = self.yaml(api, "rollouts:manifest", SMALL)
        assert (one.status_code, two.status_code) == (201, 201)
        assert one["Location"] == f"/api/v1/rollouts/{one.json()['id']}"
        assert two["Location"] == f"/api/v1/rollouts/{two.json()['id']}"
        assert one.json()["plan"] == two.json()["plan"]
        assert one.json()["labels"] == {"team": "lab"}
        text = api.get(f"rollouts/{one.json()['id']}/manifest").json()["manifest"]
        assert "Say hello" in text

    def test_dry_runs_store_nothing(self, api: Api, alice: Actor) -> None:
        one = api.post("rollouts:manifest", manifest=SMALL, validate_only=True)
        two = self.yaml(api, "rollouts:manifest?validate_only=true", SMALL)
        assert (one.status_code, two.status_code) == (200, 200)
        assert two.json()["phases"][0]["counts"]["total"] == 2
        assert not Rollout.objects.for_org(alice.organization_id).exists()

    def test_problems_are_in_the_answer(self, api: Api) -> None:
        answer = self.yaml(api, "rollouts:manifest", SMALL.replace("selector", "selecter"))
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid_manifest"
        problems = answer.json()["metadata"]["problems"]
        assert (problems[0]["line"], problems[0]["suggestion"]) == (4, "")
        assert "selecter" in {p["path"].rpartition(".")[2] for p in problems}

    @pytest.mark.parametrize(
        ("body", "query"),
        [(b"\xff\xfe", ""), (b"", ""), (b"x" * 70_000, ""), (b"a: 1", "?x=1")],
    )
    def test_what_is_no_manifest_is_a_bad_request(self, api: Api, body: bytes, query: str) -> None:
        assert self.yaml(api, f"rollouts:manifest{query}", body).status_code == 400

    def yaml(self, api: Api, path: str, body: str | bytes) -> Any:
        """Sends YAML."""
        return api.client.generic(
            "POST", f"/api/v1/{path}", body, content_type="application/yaml", headers=api.headers
        )


def test_windows_mean_the_organizations_time_where_a_device_tells_none(
    fleet: Fleet, acme: Cast
) -> None:
    acme.organization.settings["updates.time_zone"] = "Asia/Tokyo"
    acme.organization.save()
    lines = "scheduling: {window: {start: 00:00, end: 24:00}}"
    make_release(fleet.alice)
    text = SMALL.replace("}}}\n", f"}}, {lines}}}}}\n")
    text += "  rollout: {maxUnavailable: 100%}\n"
    rollout = create_from_manifest(fleet.alice, text)
    rows = Device.objects.for_org(acme.id).filter(id=fleet.device_ids[0])
    rows.update(inventory={"facts": {"time_zone": "Europe/Oslo"}})
    start_rollout(fleet.alice, rollout.id)
    told = {offer.device_id: offer.plan.schedule.time_zone for offer in fleet.claim()}
    assert told[fleet.device_ids[0]] == ""
    assert {told[each] for each in told if each != fleet.device_ids[0]} == {"Asia/Tokyo"}


def by_channel(channel: str) -> str:
    """The small manifest with a channel instead of the version."""
    return SMALL.replace("version: 1.0.0", f"channel: {channel}")


def test_a_manifest_names_a_channel_and_the_rollout_keeps_what_it_meant(
    alice: Actor, release: Release
) -> None:
    promote_release(alice, release.id, channel="stable")
    rollout = create_from_manifest(alice, by_channel("stable"))
    promote_release(alice, make_release(alice, "2.0.0", b"two\n").id, channel="stable")
    assert rollout.release_id == release.id
    entry = AuditEntry.objects.for_org(alice.organization_id).get(action="updates.create_rollout")
    assert entry.changes["channel"] == "stable"
    assert "version: 1.0.0" in export_manifest(alice, rollout.id)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (by_channel("beta"), "6:53: spec.template.spec.release.channel: There is no channel"),
        (by_channel("stable, version: 1.0.0"), "Say one of 'version' and 'channel'."),
        (SMALL.replace(", version: 1.0.0", ""), "Say one of 'version' and 'channel'."),
    ],
)
def test_a_channel_that_is_not_there_or_not_alone_is_refused(
    alice: Actor, release: Release, text: str, words: str
) -> None:
    with pytest.raises(InvalidManifest) as refused:
        create_from_manifest(alice, text)
    assert words in str(refused.value.message)


def test_a_manifest_says_a_part_of_the_target_and_who_comes_later(fleet: Fleet) -> None:
    make_release(fleet.alice)
    text = """
apiVersion: fleet/v1
kind: Deployment
metadata: {name: part}
spec:
  selector: {all: true, percent: 60, maximum: 4}
  strategy:
    type: Canary
    canary: {steps: [{filter: 'model = "none"'}, {weight: 50}, {weight: 100}]}
  rollout: {dynamic: true}
  template: {spec: {release: {name: hello, version: 1.0.0}}}
"""
    tried = create_from_manifest(fleet.alice, text, validate_only=True)
    assert [phase.total for phase in tried.phases.all()] == [0, 2, 2]
    rollout = create_from_manifest(fleet.alice, text)
    assert rollout.target["percent"] == 60
    assert rollout.planned().is_dynamic
    again = parse_manifest(export_manifest(fleet.alice, rollout.id))
    assert (again.selection.percent, again.selection.maximum) == (60, 4)
    start_rollout(fleet.alice, rollout.id)
    assert [phase.total for phase in rollout.phases.order_by("index")] == [0, 2, 2]


def test_a_part_of_what_is_left_out_is_refused_at_its_place(alice: Actor) -> None:
    text = by_channel("stable").replace("spec:\n", "spec:\n  exclude: {tags: [a], percent: 5}\n")
    assert "There is no key 'percent' here" in refused(alice, text)[0][2]
