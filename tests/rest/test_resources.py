"""What is made can be read as it was made; verbs do what they say; secrets are shown once."""

from pathlib import Path
from typing import Any

import pytest

from apps.core.ids import uuid7
from apps.organizations.services.authentication import forget_callers
from tests import factories
from tests.factories import Cast
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


@pytest.fixture
def release_id(api: Api) -> str:
    """A release of one artifact, with every kind of hook."""
    upload = api.client.post(
        "/api/v1/artifacts?name=a.bin", b"123", "application/octet-stream", headers=api.headers
    )
    hook = {"command": ["/bin/true", "--x"], "timeout_seconds": 30}
    component = {
        "name": "app",
        "kind": "binary",
        "artifact_id": upload.json()["id"],
        "target": "/opt/app",
        "file_mode": 0o755,
        "before": hook,
        "verify": {"command": ["/bin/true"]},
    }
    made = api.post("releases", name="app", version="1.2.3", components=[component], notes="first")
    assert made.status_code == 201, made.content
    shown = made.json()["components"][0]
    assert (shown["kind"], shown["before"], shown["after"]) == ("binary", hook, None)
    return str(made.json()["id"])


def same_when_read(api: Api, made: Any) -> dict[str, Any]:
    """The object, read at the address that its making gave."""
    assert made.status_code == 201, made.content
    path = made["Location"].removeprefix("/api/v1/")
    found = dict(api.get(path).json())
    assert {**found, **({"secret": made.json()["secret"]} if "secret" in made.json() else {})} == (
        made.json()
    )
    return found


def test_a_group_is_read_as_it_was_made_and_goes_for_good(api: Api, acme: Cast) -> None:
    group = same_when_read(api, api.post("device-groups", name="lab"))
    path = f"device-groups/{group['id']}"
    added = api.post(f"{path}:add-devices", device_ids=[str(d.id) for d in acme.devices])
    assert added.json()["device_count"] == 2
    removed = api.post(f"{path}:remove-devices", device_ids=[str(acme.device.id)])
    assert removed.json()["device_count"] == 1
    assert (api.delete(path).status_code, api.delete(path).status_code) == (204, 404)


def test_a_token_shows_its_secret_once(api: Api, acme: Cast) -> None:
    made = api.post(
        "enrollment-tokens",
        name="lab",
        max_uses=3,
        tags=["lab"],
        group_ids=[str(acme.group.id)],
        requires_approval=True,
    )
    token = same_when_read(api, made)
    assert made.json()["secret"].startswith("fld_enr_")
    assert (token["max_uses"], token["uses_left"], token["tags"]) == (3, 3, ["lab"])
    revoked = api.post(f"enrollment-tokens/{token['id']}:revoke").json()
    assert revoked["revoked_at"]
    assert api.post(f"enrollment-tokens/{token['id']}:revoke").json() == revoked


def test_a_key_works_until_it_is_revoked(api: Api) -> None:
    made = api.post("api-keys", name="ci", scopes=["devices.view_devices"]).json()
    other = Api(made["secret"])
    assert other.get("devices").status_code == 200
    assert other.get("rollouts").status_code == 403
    assert made["secret"] not in api.get("api-keys").content.decode()
    api.post(f"api-keys/{made['id']}:revoke")
    forget_callers()  # else who called a moment ago is known for five more seconds
    assert other.get("devices").json()["code"] == "invalid_api_key"


def test_a_device_is_renamed_and_tagged(api: Api, acme: Cast) -> None:
    path = f"devices/{acme.device.id}"
    changed = api.patch(path, name="pump 7", add_tags=["lab", "wet"]).json()
    assert (changed["name"], changed["tags"]) == ("pump 7", ["lab", "wet"])
    assert api.patch(path, remove_tags=["wet"]).json()["tags"] == ["lab"]
    assert api.patch(path).json()["name"] == "pump 7"
    assert api.get(path).json()["lifecycle"] == "active"


def test_a_devices_life_over_rest(api: Api, acme: Cast) -> None:
    path = f"devices/{acme.device.id}"
    assert api.post(f"{path}:quarantine", reason="odd").json()["lifecycle"] == "quarantined"
    assert api.post(f"{path}:release").json()["lifecycle"] == "active"
    assert api.post(f"{path}:decommission", reason="old").json()["lifecycle"] == "decommissioned"
    refused = api.post(f"{path}:release")
    assert (refused.status_code, refused.json()["code"]) == (409, "device_decommissioned")


def test_live_state_is_shown_with_its_reason(api: Api, acme: Cast) -> None:
    state = {**factories.online(), "cpu_ratio": 0.25, "clock_skew_seconds": 4.0}
    device = factories.device(acme.id, "live", state=state)
    shown = api.get(f"devices/{device.id}").json()
    assert shown["connectivity"] == "online"
    assert shown["connectivity_reason"]
    assert shown["last_seen_at"].endswith("Z")
    assert shown["state"]["cpu_ratio"] == 0.25
    assert shown["state"]["temperature_celsius"] is None
    assert shown["state"]["clock_skew_seconds"] == -4.0  # the server's clock minus the device's


def test_a_rollout_over_rest(api: Api, release_id: str) -> None:
    plan = {"name": "all", "release_id": release_id, "phase_percents": [50, 100]}
    preview = api.post("rollouts", **plan, validate_only=True)
    assert preview.status_code == 200
    assert api.get("rollouts").json()["items"] == []
    rollout = same_when_read(api, api.post("rollouts", **plan))
    assert [phase["percent"] for phase in rollout["phases"]] == [50, 100]
    path = f"rollouts/{rollout['id']}"
    assert api.post(f"{path}:pause").json()["code"] == "rollout_not_running"
    for verb, state in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ):
        done = api.post(f"{path}:{verb}")
        assert (done.status_code, done.json()["state"]) == (200, state)
    events = api.get(f"{path}/events").json()["items"]
    assert [e["sequence"] for e in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "created"
    assert isinstance(events[0]["data"], dict)
    deployments = api.get("deployments", rollout_id=rollout["id"]).json()["items"]
    assert {d["device_name"] for d in deployments} == {"acme-one", "acme-two"}
    assert api.get(f"deployments/{deployments[0]['id']}").json() == deployments[0]


def test_a_release_names_artifacts_that_exist(api: Api) -> None:
    for artifact_id in ("", "x", str(uuid7())):
        component = {"name": "app", "kind": "binary", "artifact_id": artifact_id}
        refused = api.post("releases", name="app", version="1", components=[component])
        assert refused.status_code in (400, 404), artifact_id
    assert api.get("releases").json()["items"] == []


def test_the_organization_is_renamed_and_the_trail_says_so(api: Api, acme: Cast) -> None:
    assert api.patch(f"organizations/{acme.id}", name="Acme Ltd").json()["name"] == "Acme Ltd"
    assert [o["name"] for o in api.get("organizations").json()["items"]] == ["Acme Ltd"]
    entry = api.get("audit-entries", action="organizations.update_organization").json()["items"][0]
    assert entry["changes"] == {"name": ["Acme", "Acme Ltd"]}
    assert api.get(f"audit-entries/{entry['id']}").json() == entry
    assert [m["role"] for m in api.get("members").json()["items"]] == ["owner"]


def test_head_and_options(api: Api) -> None:
    head = api.client.head("/api/v1/devices", headers=api.headers)
    assert (head.status_code, head.content) == (200, b"")
    options = api.client.options("/api/v1/devices", headers=api.headers)
    assert (options.status_code, options["Allow"]) == (204, "GET, HEAD, OPTIONS")
