"""Rights in some device groups only: the same through service, REST, RPC, web UI and admin."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import Client

from apps.audit.models import AuditEntry
from apps.core.authz import Role
from apps.core.errors import FleetdError
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices import selectors as devices
from apps.devices.services import devices as device_services
from apps.devices.services import groups as group_services
from apps.enrollment import selectors as enrollment
from apps.enrollment.services import certificates, tokens
from apps.organizations.services.authentication import forget_callers
from apps.updates.selectors.deployments import list_deployments
from apps.updates.selectors.rollouts import list_rollouts
from apps.updates.services import planning
from apps.updates.services import rollouts as running
from fleetd.pb.public.v1 import fleet_pb2
from tests import factories
from tests.doors.limited import DENIED, DONE, NOT_FOUND, Limited, make_limited
from tests.rest.conftest import Api
from tests.rpc.conftest import open_doors

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
PEOPLE = ("ivan", "mia", "tom", "dina", "nora")


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> Limited:
    """Acme as `tests.doors.limited` describes it."""
    forget_callers()
    return make_limited(settings, tmp_path)


@pytest.fixture
def committed_world(transactional_db: None, settings: Any, tmp_path: Path) -> Limited:
    """The same, for doors with connections of their own."""
    forget_callers()
    return make_limited(settings, tmp_path)


@contextmanager
def undone() -> Iterator[None]:
    """What happens inside did not happen: every cell of a table begins alike."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


# ---- doing ----


@dataclass(frozen=True)
class Doing:
    """One operation, as each door calls it, on things by name; and who may do it to which."""

    name: str
    service: Callable[[Any, Any], Any]
    rest: Callable[[Any], tuple[str, str, dict[str, Any]]] | None = None
    ui: Callable[[Any], tuple[str, dict[str, Any]]] | None = None
    admin: tuple[str, dict[str, str]] | None = None
    action: str = ""
    allowed: dict[str, str] = field(default_factory=dict)
    """By person, in the order of `THINGS`: + done, - denied, . not found."""


SIGNS = {"+": DONE, "-": DENIED, ".": NOT_FOUND}
ON_DEVICES = ("d-one", "d-two", "d-both", "d-none")
ON_ROLLOUTS = ("r-one", "r-two", "r-both", "r-tag")
ON_TOKENS = ("t-one", "t-two", "t-both", "t-none")
OPERATING = {"ivan": "----", "mia": "+.+.", "tom": "-++.", "dina": ".--.", "nora": "----"}
DEPLOYING = {"ivan": "----", "mia": "-...", "tom": "---.", "dina": ".+..", "nora": "----"}
STOPPING = {"ivan": "----", "mia": "+...", "tom": "-+-.", "dina": ".+..", "nora": "----"}
TOKENS = {"ivan": "----", "mia": "+...", "tom": "-+-.", "dina": ".-..", "nora": "----"}


def on_device(verb: str, action: str, admin: dict[str, str] | None = None, **values: Any) -> Doing:
    """An operation `verb` of devices."""
    return Doing(
        action,
        lambda actor, d: getattr(device_services, action)(actor, d.id, **values),
        lambda d: ("POST", f"devices/{d.id}:{verb}", values),
        lambda d: (f"/devices/{d.id}/{verb}", {**values, "confirm": d.name}),
        ("devices/device", {"word": "decommission", **(admin or values)}),
        f"devices.{action}",
        OPERATING,
    )


PLANNING = {"submit", "approve"}


def on_rollout(verb: str, allowed: dict[str, str]) -> Doing:
    """An operation `verb` of rollouts."""
    action = f"{verb}_rollout"
    return Doing(
        action,
        lambda actor, r: getattr(planning if verb in PLANNING else running, action)(actor, r.id),
        lambda r: ("POST", f"rollouts/{r.id}:{verb}", {}),
        lambda r: (f"/rollouts/{r.id}/{verb}", {}),
        ("updates/rollout", {"word": "cancel"}),
        f"updates.{action}",
        allowed,
    )


DEVICE_DOINGS = [
    Doing(
        "update_device",
        lambda actor, d: device_services.update_device(actor, d.id, name="renamed"),
        lambda d: ("PATCH", f"devices/{d.id}", {"name": "renamed"}),
        lambda d: (f"/devices/{d.id}/update", {"name": "renamed", "tags": ", ".join(d.tags)}),
        ("devices/device", {"add_tags": "free"}),
        "devices.update_device",
        OPERATING,
    ),
    on_device("quarantine", "quarantine_device", reason="r"),
    on_device("decommission", "decommission_device", reason="r"),
    Doing(
        "revoke_certificates",
        lambda actor, d: certificates.revoke_certificates(actor, d.id, reason="r"),
        allowed=OPERATING,
    ),
]
ROLLOUT_DOINGS = [
    on_rollout("submit", DEPLOYING),
    on_rollout("start", DEPLOYING),
    on_rollout("cancel", STOPPING),
]
TOKEN_DOINGS = [
    Doing(
        "revoke_enrollment_token",
        lambda actor, t: tokens.revoke_enrollment_token(actor, t.id),
        lambda t: ("POST", f"enrollment-tokens/{t.id}:revoke", {}),
        lambda t: (f"/enrollment-tokens/{t.id}/revoke", {}),
        ("enrollment/enrollmenttoken", {}),
        "enrollment.revoke_enrollment_token",
        TOKENS,
    )
]
DOINGS = [
    *((doing, ON_DEVICES) for doing in DEVICE_DOINGS),
    *((doing, ON_ROLLOUTS) for doing in ROLLOUT_DOINGS),
    *((doing, ON_TOKENS) for doing in TOKEN_DOINGS),
]


class Doors:
    """The doors for one world: each answers done, or why not."""

    def __init__(self, world: Limited) -> None:
        self.world = world
        self.keys = {name: factories.api_key(world.people[name]) for name in PEOPLE}
        self.clients = {name: Client() for name in PEOPLE}
        for name, client in self.clients.items():
            client.force_login(world.people[name].user, backend=BACKEND)

    def service(self, doing: Doing, person: str, thing: Any) -> str:
        try:
            with tenant(self.world.organization_id), transaction.atomic():
                doing.service(self.world.actor(person), thing)
        except FleetdError as error:
            return error.code
        return DONE

    def rest(self, doing: Doing, person: str, thing: Any) -> str:
        assert doing.rest is not None
        method, path, body = doing.rest(thing)
        response = Api(self.keys[person]).send(method, path, body)
        return DONE if response.status_code == 200 else str(response.json()["code"])

    def ui(self, doing: Doing, person: str, thing: Any) -> str:
        assert doing.ui is not None
        address, values = doing.ui(thing)
        status = self.clients[person].post(address, values).status_code
        return {302: DONE, 403: DENIED, 404: NOT_FOUND}[status]

    def admin(self, doing: Doing, person: str, thing: Any) -> str:
        assert doing.admin is not None
        listed, values = doing.admin
        before = self.audited(doing)
        name = "change_tags" if doing.name == "update_device" else doing.name
        data = {"action": name, "_selected_action": str(thing.pk), "confirmed": "yes", "index": "0"}
        self.clients[person].post(f"/admin/{listed}/", {**data, **values})
        return DONE if self.audited(doing) == before + 1 else "refused"

    def audited(self, doing: Doing) -> int:
        """How often it was recorded as done."""
        with tenant(self.world.organization_id):
            rows = AuditEntry.objects.for_org(self.world.organization_id)
            return int(rows.filter(action=doing.action, result="success").count())


@pytest.mark.parametrize("door", ["service", "rest", "ui", "admin"])
@pytest.mark.parametrize(("doing", "things"), DOINGS, ids=[d.name for d, _ in DOINGS])
def test_who_may_do_what_where(
    world: Limited, doing: Doing, things: tuple[str, ...], door: str
) -> None:
    if door != "service" and doing.rest is None:
        pytest.skip("there is no such door")
    doors, found = Doors(world), {}
    for person in PEOPLE:
        outcomes = []
        for name in things:
            with undone():
                outcomes.append(getattr(doors, door)(doing, person, world.thing(name)))
        found[person] = outcomes
    expected = {who: [SIGNS[sign] for sign in signs] for who, signs in doing.allowed.items()}
    if door == "ui":  # a button that somebody may press nowhere is refused before any look
        expected = {
            person: outcomes if DONE in outcomes else [DENIED] * len(outcomes)
            for person, outcomes in expected.items()
        }
    if door == "admin":
        expected = {
            w: [o if o == DONE else "refused" for o in all_] for w, all_ in expected.items()
        }
    assert found == expected


def test_who_may_do_what_where_over_grpc(committed_world: Limited) -> None:
    world, found = committed_world, {}
    keys = {name: factories.api_key(world.people[name]) for name in PEOPLE}

    async def ask() -> None:
        async with open_doors() as doors:
            for person in PEOPLE:
                found[person] = [
                    await _quarantine(doors, keys[person], str(world.devices[name].id))
                    for name in ON_DEVICES
                ]

    async_to_sync(ask)()
    assert found == {who: [SIGNS[sign] for sign in signs] for who, signs in OPERATING.items()}


async def _quarantine(doors: Any, key: str, device_id: str) -> str:
    got = await doors.call(
        "grpc",
        "public.v1.FleetService/QuarantineDevice",
        fleet_pb2.QuarantineDeviceRequest(id=device_id),
        fleet_pb2.QuarantineDeviceResponse,
        {"authorization": f"Bearer {key}"},
    )
    return DONE if got.status == "OK" else str(got.code)


# ---- seeing ----

SEEN = {
    "devices": {
        "ivan": {"d-one", "d-two", "d-both", "d-none"},
        "mia": {"d-one", "d-both"},
        "tom": {"d-one", "d-two", "d-both"},
        "dina": {"d-two", "d-both"},
    },
    "groups": {"ivan": {"g1", "g2", "g3"}, "mia": {"g1"}, "tom": {"g1", "g2"}, "dina": {"g2"}},
    "tokens": {
        "ivan": {"t-one", "t-two", "t-both", "t-none"},
        "mia": {"t-one"},
        "tom": {"t-one", "t-two", "t-both"},
        "dina": {"t-two"},
    },
    "rollouts": {
        "ivan": {"r-one", "r-two", "r-both", "r-tag", "r-all"},
        "mia": {"r-one"},
        "tom": {"r-one", "r-two", "r-both"},
        "dina": {"r-two"},
    },
    "deployments": {
        "ivan": {"d-one", "d-two", "d-both", "d-none"},
        "mia": {"d-one", "d-both"},
        "tom": {"d-one", "d-two", "d-both"},
        "dina": {"d-two", "d-both"},
    },
}
LISTS: dict[str, tuple[Callable[..., Any], Callable[[Any], str], str, str, str, str]] = {
    "devices": (
        *(devices.list_devices, lambda d: d.name),
        *("devices", "name", "/devices", "devices/device"),
    ),
    "groups": (
        *(devices.list_device_groups, lambda g: g.name),
        *("device-groups", "name", "/device-groups", "devices/devicegroup"),
    ),
    "tokens": (
        *(enrollment.list_enrollment_tokens, lambda t: t.name),
        *("enrollment-tokens", "name", "/enrollment-tokens", "enrollment/enrollmenttoken"),
    ),
    "rollouts": (
        *(list_rollouts, lambda r: r.name),
        *("rollouts", "name", "/rollouts", "updates/rollout"),
    ),
    "deployments": (
        *(list_deployments, lambda d: d.device.name),
        *("deployments", "device_name", "", "updates/deployment"),
    ),
}


@pytest.mark.parametrize("kind", LISTS)
def test_every_list_shows_what_is_in_reach_and_nothing_else(world: Limited, kind: str) -> None:
    select, name_of, path, key, page, admin = LISTS[kind]
    doors, every = Doors(world), SEEN[kind]["ivan"]
    for person, expected in SEEN[kind].items():
        with tenant(world.organization_id):
            items = select(world.actor(person), PageRequest()).items
        assert {name_of(item) for item in items} == expected, person
        answer = Api(doors.keys[person]).get(path).json()
        assert {item[key] for item in answer["items"]} == expected, person
        for address in filter(None, [page, f"/admin/{admin}/"]):
            html = doors.clients[person].get(address).content.decode()
            rows = html[html.index("<tbody") :] if "<tbody" in html else html
            assert {name for name in every if f">{name}<" in rows} == expected, (person, address)


@pytest.mark.parametrize("kind", LISTS)
def test_who_holds_nothing_anywhere_is_refused_whatever_is_asked_for(
    world: Limited, kind: str
) -> None:
    select, _, path, _, page, admin = LISTS[kind]
    doors = Doors(world)
    with tenant(world.organization_id), pytest.raises(FleetdError) as refusal:
        select(world.actor("nora"), PageRequest())
    assert refusal.value.code == DENIED
    assert Api(doors.keys["nora"]).get(path).status_code == 403
    for address in filter(None, [page, f"/admin/{admin}/"]):
        assert doors.clients["nora"].get(address).status_code == 403, address


ONE: dict[str, tuple[str, str, str]] = {
    "devices": ("devices/{}", "/devices/{}", "devices/device"),
    "groups": ("device-groups/{}", "/device-groups/{}", "devices/devicegroup"),
    "tokens": ("enrollment-tokens/{}", "/enrollment-tokens/{}", "enrollment/enrollmenttoken"),
    "rollouts": ("rollouts/{}", "/rollouts/{}", "updates/rollout"),
}


@pytest.mark.parametrize("kind", ONE)
def test_one_thing_out_of_reach_is_not_found_and_one_in_reach_is(world: Limited, kind: str) -> None:
    path, page, admin = ONE[kind]
    doors, things = Doors(world), getattr(world, kind)
    for person in ("ivan", "mia", "tom", "dina"):
        for name, thing in things.items():
            expected = 200 if name in SEEN[kind][person] else 404
            client = doors.clients[person]
            got = Api(doors.keys[person]).get(path.format(thing.id))
            statuses = [
                got.status_code,
                client.get(page.format(thing.id)).status_code,
                client.get(f"/admin/{admin}/{thing.id}/change/").status_code,
            ]
            assert statuses == [expected] * 3, (person, name)


def test_the_rollouts_log_is_read_by_those_who_see_the_rollout(world: Limited) -> None:
    doors = Doors(world)
    for person in ("ivan", "mia", "tom", "dina"):
        for name, rollout in world.rollouts.items():
            got = Api(doors.keys[person]).get(f"rollouts/{rollout.id}/events")
            expected = 200 if name in SEEN["rollouts"][person] else 404
            assert got.status_code == expected, (person, name)


# ---- making and moving ----


def outcome(world: Limited, person: str, work: Callable[[Any], Any]) -> str:
    """What comes of a service; nothing of it stays."""
    with undone():
        try:
            with tenant(world.organization_id), transaction.atomic():
                work(world.actor(person))
        except FleetdError as error:
            return error.code
    return DONE


def test_rollouts_are_planned_for_groups_within_reach_only(world: Limited) -> None:
    assert world.release is not None
    g1, g2, g3 = (world.groups[name].id for name in ("g1", "g2", "g3"))
    d_two = world.devices["d-two"].id
    targets: dict[str, dict[str, list[Any]]] = {
        "own group": {"group_ids": [g2]},
        "another's": {"group_ids": [g1]},
        "both": {"group_ids": [g1, g2]},
        "nobody's": {"group_ids": [g3]},
        "its tag": {"tags": ["two"]},
        "own group and a tag": {"group_ids": [g2], "tags": ["other"]},
        "an own device": {"device_ids": [d_two]},
        "everything": {},
    }
    expected = {
        "own group": DONE,
        "another's": NOT_FOUND,
        "both": NOT_FOUND,
        "nobody's": NOT_FOUND,
        "its tag": DENIED,
        "own group and a tag": DENIED,
        "an own device": DENIED,
        "everything": DENIED,
    }
    doors = Doors(world)
    for is_preview in (True, False):
        found = {}
        for name, target in targets.items():
            body = {
                "name": "new",
                "release_id": str(world.release.id),
                "validate_only": is_preview,
                "target": {key: [str(each) for each in ids] for key, ids in target.items()},
            }
            with undone():
                got = Api(doors.keys["dina"]).post("rollouts", **body)
                found[name] = DONE if got.status_code in (200, 201) else got.json()["code"]
        assert found == expected, is_preview


def test_a_preview_counts_no_device_out_of_reach(world: Limited) -> None:
    client = Doors(world).clients["dina"]
    g2 = world.groups["g2"].id
    own = client.get(f"/rollouts/new/preview?group={g2}&strategy=at_once").content.decode()
    assert '<div class="big-number">2</div>' in own
    for query in ("", "tags=two", "tags=other", f"devices={world.devices['d-none'].id}"):
        page = client.get(f"/rollouts/new/preview?{query}&strategy=at_once").content.decode()
        assert "big-number" not in page, query


def test_tokens_lead_into_groups_within_reach_only(world: Limited) -> None:
    g1, g2, g3 = (world.groups[name].id for name in ("g1", "g2", "g3"))
    into: dict[str, dict[str, Any]] = {
        "own group": {"group_ids": [g1]},
        "own group, free tag": {"group_ids": [g1], "tags": ["free"]},
        "none": {},
        "only a tag": {"tags": ["two"]},
        "another's": {"group_ids": [g2]},
        "another's by its tag": {"group_ids": [g1], "tags": ["two"]},
        "nobody's": {"group_ids": [g1, g3]},
    }
    found = {
        name: outcome(
            world, "mia", lambda a, v=values: tokens.create_enrollment_token(a, name="t", **v)
        )
        for name, values in into.items()
    }
    assert found == {
        "own group": DONE,
        "own group, free tag": DONE,
        "none": DENIED,
        "only a tag": DENIED,
        "another's": NOT_FOUND,
        "another's by its tag": DENIED,
        "nobody's": NOT_FOUND,
    }


def test_nobody_climbs_by_moving_devices(world: Limited) -> None:
    """mia holds everything in g1, tom in g2 and sees g1: neither fetches or hides a device."""
    ids = {name: device.id for name, device in world.devices.items()}
    groups = {name: group.id for name, group in world.groups.items()}

    def add(group: str, device: str) -> Callable[[Any], Any]:
        return lambda a: group_services.add_devices_to_group(a, groups[group], [ids[device]])

    def remove(group: str, device: str) -> Callable[[Any], Any]:
        return lambda a: group_services.remove_devices_from_group(a, groups[group], [ids[device]])

    def tag(device: str, **change: Any) -> Callable[[Any], Any]:
        return lambda a: device_services.update_device(a, ids[device], **change)

    attempts = [
        ("a device out of sight", "mia", add("g1", "d-none"), NOT_FOUND),
        ("another team's device", "mia", add("g1", "d-two"), NOT_FOUND),
        ("one that is in it", "mia", add("g1", "d-both"), DONE),
        ("out of the own group", "mia", remove("g1", "d-one"), DONE),
        ("out of a group in sight", "tom", remove("g1", "d-both"), DENIED),
        ("into a group in sight", "tom", add("g1", "d-two"), DENIED),
        ("into a group out of sight", "tom", add("g3", "d-two"), NOT_FOUND),
        ("by another group's tag", "mia", tag("d-one", add_tags=["two"]), DENIED),
        ("by a free tag", "mia", tag("d-one", add_tags=["free"]), DONE),
        ("out by another group's tag", "mia", tag("d-both", remove_tags=["two"]), DENIED),
        ("out by the own group's tag", "tom", tag("d-two", remove_tags=["two"]), DONE),
        ("one seen only, by the own tag", "tom", tag("d-one", add_tags=["two"]), DENIED),
    ]
    found = {name: outcome(world, person, work) for name, person, work, _ in attempts}
    assert found == {name: expected for name, _, _, expected in attempts}


# ---- counts ----


def test_totals_and_counts_are_of_what_is_in_reach(world: Limited) -> None:
    doors = Doors(world)
    sizes = {"ivan": (4, 2, 2), "mia": (2, 2, None), "tom": (3, 2, 2), "dina": (2, None, 2)}
    for person, (total, in_g1, in_g2) in sizes.items():
        actor = world.actor(person)
        with tenant(world.organization_id):
            counts = devices.count_devices(actor)
            versions = devices.count_installed_versions(actor, limit=10)
            chosen = [world.groups[name].id for name in ("g1", "g2")]
            grouped = devices.count_group_devices(actor, chosen)
        assert counts == {("active", "online"): total} or sum(counts.values()) == total
        assert {row.name for row in versions} == SEEN["devices"][person], person
        assert [grouped.get(group_id) for group_id in chosen] == [in_g1, in_g2], person
        html = doors.clients[person].get("/").content.decode()
        assert f'Total</span><span class="tile-value">{total}</span>' in html, person


def test_a_group_in_sight_counts_only_devices_in_sight(world: Limited) -> None:
    """Somebody sees all groups and the devices of one: the others look smaller, not fuller."""
    roles = factories.custom_role(world.organization_id, "groups", "devices.view_device_groups")
    eva = factories.user("eva@acme.test")
    member = factories.membership(world.organization_id, eva, Role.MEMBER)
    with tenant(world.organization_id):
        member.role, member.custom_role = "custom", roles
        member.save(update_fields=["role", "custom_role"])
    factories.team_member(world.teams["one"], eva, "viewer")
    world.people["eva"] = member
    with tenant(world.organization_id):
        actor = world.actor("eva")
        ids = {group.id: name for name, group in world.groups.items()}
        counts = devices.count_group_devices(actor, list(ids))
    assert {ids[key]: n for key, n in counts.items()} == {"g1": 2, "g2": 1, "g3": 0}


def test_forms_offer_what_is_in_reach(world: Limited) -> None:
    doors = Doors(world)
    for person, address, expected in (
        ("dina", "/rollouts/new", {"g2"}),
        ("mia", "/devices/add", {"g1"}),
        ("tom", "/devices/add", {"g2"}),
        ("tom", "/devices", {"g1", "g2"}),
        ("ivan", "/devices", {"g1", "g2", "g3"}),
    ):
        client = doors.clients[person]
        html = client.get(address).content.decode()
        options = {g for g in ("g1", "g2", "g3") if f">{g}<" in html}
        assert options == expected, (person, address)


def test_candidates_for_a_group_are_devices_that_may_be_moved(world: Limited) -> None:
    doors = Doors(world)
    for person, expected in (("mia", {"d-one", "d-both"}), ("tom", {"d-two", "d-both"})):
        address = f"/device-groups/{world.groups['g1'].id}/candidates"
        html = doors.clients[person].get(address).content.decode()
        assert {name for name in world.devices if name in html} == expected, person


def test_the_admins_other_tables_tell_nothing_of_what_is_out_of_reach(world: Limited) -> None:
    doors = Doors(world)
    tables = ("devices/devicestate", "devices/groupmember", "updates/deployment")
    autocomplete = "/admin/autocomplete/?app_label=updates&model_name=deployment&field_name=device"
    for person in ("mia", "tom", "dina"):
        client = doors.clients[person]
        hidden = SEEN["devices"]["ivan"] - SEEN["devices"][person]
        for table in tables:
            html = client.get(f"/admin/{table}/").content.decode()
            assert not [name for name in hidden if name in html], (person, table)
        found = client.get(autocomplete)
        if found.status_code == 200:
            shown = {row["text"] for row in found.json()["results"]}
            assert shown <= SEEN["devices"][person]
        assert client.get("/admin/devices/devicecount/").status_code == 403
        other = world.groups["g3"].id
        assert "d-" not in _rows(client.get(f"/admin/devices/device/?group={other}"))


def _rows(response: Any) -> str:
    """The rows of an admin list."""
    html = response.content.decode()
    return str(html[html.index("<tbody") : html.index("</tbody")]) if "<tbody" in html else ""
