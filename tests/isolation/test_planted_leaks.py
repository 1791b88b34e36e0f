"""A check that finds nothing proves something only if it finds what is there: leaks are planted."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from celery import shared_task
from django.contrib import admin
from django.http import HttpResponse
from django.urls import path
from django.views import View

from apps.accounts.models import User
from apps.core.authz import SIGNED_IN
from apps.core.errors import NotFound
from apps.core.guards import tenant_models
from apps.core.public import id_of, operation
from apps.core.rest.views import reads, resource
from apps.core.tenancy import tenant
from apps.devices.models import Device, DeviceGroup
from apps.devices.permissions import VIEW_DEVICES
from apps.organizations.models import Organization
from apps.organizations.public import organization_message
from apps.web.realtime import topics
from fleetd.isolation.admin import AdminWalk
from fleetd.isolation.pages import Page, PageWalk
from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import Route, rest_routes, walk_rest
from fleetd.isolation.rpc import walk_rpc
from fleetd.isolation.rpc_calls import Method, methods
from fleetd.isolation.sql import walk_sql
from fleetd.isolation.tasks import walk_tasks
from fleetd.isolation.ui import walk_ui
from fleetd.isolation.web_calls import addresses, session_caller
from fleetd.isolation.websocket import walk_websocket
from fleetd.isolation.world import World
from fleetd.pb.public.v1 import organization_pb2 as pb
from fleetd.urls import urlpatterns as product


@operation(SIGNED_IN)
def get_organization(actor: Any, request: pb.GetOrganizationRequest) -> pb.GetOrganizationResponse:
    """Any organization, to anybody: nothing but this function would keep it back."""
    found = Organization.objects.filter(id=id_of(request.id)).first()
    if found is None:
        raise NotFound
    return pb.GetOrganizationResponse(organization=organization_message(found))


class AnyName(View):
    """The name of any organization."""

    def get(self, request: Any, organization_id: Any) -> HttpResponse:
        """The page."""
        found = Organization.objects.filter(id=organization_id).first()
        return HttpResponse(found.name if found else "nothing", status=200 if found else 404)


# An address list of a test's own: the product's, and two leaks.
urlpatterns = [
    *resource("planted", "api/v1/planted/<ident:id>", get=reads(get_organization)),
    path("planted/<uuid:organization_id>", AnyName.as_view()),
    *product,
]


@pytest.fixture
def planted_urls(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


def _routes(text: str) -> list[Route]:
    return [route for route in rest_routes() if text in str(route)]


def test_a_route_without_scoping_is_found(
    world: World, report: DoorReport, planted_urls: None
) -> None:
    walk_rest(world, report, _routes("planted"))
    assert any("GET /api/v1/planted/{id}" in leak for leak in report.leaks)
    assert any(world.theirs.mark in leak for leak in report.leaks)


def test_a_page_without_scoping_is_found(
    world: World, report: DoorReport, planted_urls: None
) -> None:
    chosen = [Page("GET", a) for a in addresses() if a.pattern.startswith("planted/")]
    walk_ui(world, report, chosen)
    assert any("GET /planted/{organization_id}" in leak for leak in report.leaks)


class PlantedServicer:
    """Answers with any organization."""

    async def get_organization(self, request: Any, ctx: object) -> Any:
        """Whoever asks."""
        from apps.core.rpc import orm

        return await orm(None, get_organization.function, None, request)


def _method(name: str) -> Method:
    return next(m for m in methods() if m.descriptor.name == name)


def test_an_rpc_that_returns_another_organizations_row_is_found(
    world: World, report: DoorReport, one_thread: None
) -> None:
    found = _method("GetOrganization")
    service = dataclasses.replace(found.service, parts=lambda: (PlantedServicer(),))
    walk_rpc(world, report, [Method(service, found.descriptor)])
    assert any("OrganizationService/GetOrganization id" in leak for leak in report.leaks)


def test_the_same_rpc_as_it_is_leaks_nothing(
    world: World, report: DoorReport, one_thread: None
) -> None:
    walk_rpc(world, report, [_method("GetOrganization")])
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.calls > 10


@pytest.fixture
def as_owner(world: World, owner_connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Changes of the schema, taken back at the end."""
    yield owner_connection
    owner_connection.execute("DROP TABLE IF EXISTS planted")
    owner_connection.execute("DROP POLICY IF EXISTS planted ON devices_device")
    owner_connection.execute("ALTER TABLE devices_device FORCE ROW LEVEL SECURITY")
    owner_connection.execute(
        "ALTER TABLE devices_group_member DROP CONSTRAINT IF EXISTS planted_link"
    )
    owner_connection.execute("DROP FUNCTION IF EXISTS planted_function()")
    owner_connection.execute("DROP MATERIALIZED VIEW IF EXISTS planted_view")


PLANTED_SQL = {
    "CREATE TABLE planted (organization_id uuid NOT NULL, text text)": (
        "planted: is not under forced row security"
    ),
    "ALTER TABLE devices_device NO FORCE ROW LEVEL SECURITY": (
        "devices_device: is not under forced row security"
    ),
    "CREATE POLICY planted ON devices_device AS PERMISSIVE USING (true)": (
        "devices_device: planted: has a permissive policy beside the base"
    ),
    "ALTER TABLE devices_group_member ADD CONSTRAINT planted_link"
    " FOREIGN KEY (device_id) REFERENCES devices_device (id)": (
        "devices_group_member.planted_link: links rows of organizations without organization_id"
    ),
    "CREATE FUNCTION planted_function() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'": (
        "function planted_function: works as its owner and stands on no list"
    ),
    "CREATE MATERIALIZED VIEW planted_view AS SELECT 1 AS one": (
        "planted_view: is a materialised view, which row security does not reach"
    ),
}


@pytest.mark.parametrize("statement", PLANTED_SQL, ids=lambda s: " ".join(s.split()[:4]))
def test_a_hole_in_the_schema_is_found(
    statement: str, world: World, report: DoorReport, as_owner: psycopg.Connection
) -> None:
    as_owner.execute(statement.encode())
    walk_sql(world, report, chosen=[])
    assert PLANTED_SQL[statement] in report.leaks


def test_a_table_whose_policy_lets_everything_through_is_found(
    world: World, report: DoorReport, as_owner: psycopg.Connection
) -> None:
    model = next(m for m in tenant_models() if m is DeviceGroup)
    table = model._meta.db_table
    as_owner.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY".encode())
    try:
        walk_sql(world, report, chosen=[model])
    finally:
        as_owner.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY".encode())
    assert any("rows without any organization" in leak for leak in report.leaks)
    assert any("rows of other organizations" in leak for leak in report.leaks)
    assert any("lets rows of theirs be changed" in leak for leak in report.leaks)
    assert any("takes rows for another organization" in leak for leak in report.leaks)


def test_the_tables_as_they_are_leak_nothing(world: World, report: DoorReport) -> None:
    walk_sql(world, report)
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.operations > 30


class PlainAdmin(admin.ModelAdmin):
    """As the tutorials make them."""

    search_fields = ("email",)

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        """To everybody."""
        return True

    has_module_permission = has_view_permission


@pytest.fixture
def plain_admin() -> Iterator[PlainAdmin]:
    """The page of people, without scoping."""
    kept = admin.site._registry[User]
    admin.site._registry[User] = PlainAdmin(User, admin.site)
    yield admin.site._registry[User]
    admin.site._registry[User] = kept


def test_an_admin_page_without_the_base_class_is_found(
    world: World, report: DoorReport, plain_admin: PlainAdmin
) -> None:
    from django.urls import clear_url_caches, set_urlconf

    walk = PageWalk(world, session_caller(world.ours, report), world.theirs.checksum(), few=True)
    clear_url_caches()
    set_urlconf(None)
    AdminWalk(world, walk, report).walk(plain_admin)
    assert any("accounts.User: is not an OrgModelAdmin" in text for text in report.not_walked)


def test_a_topic_without_a_check_is_found(
    world: World, report: DoorReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(topics.OF_OBJECT, "device", (VIEW_DEVICES, lambda actor, key: None))
    walk_websocket(world, report)
    found = [leak for leak in report.leaks if leak.startswith("topic device")]
    assert any("subscribed" in leak for leak in found)


@shared_task(name="planted.task")
def planted_task(organization_id: str, device_id: str) -> None:
    """Changes the device of whoever it belongs to."""
    with tenant(_owner_of(device_id) or organization_id):
        Device.unscoped.filter(id=device_id).update(hostname="changed")


_owners: dict[str, Any] = {}


def _owner_of(device_id: str) -> Any:
    return _owners.get(device_id)


def test_a_task_that_works_for_others_is_found(world: World, report: DoorReport) -> None:
    _owners.update(dict.fromkeys(world.theirs.of("device"), world.theirs.id))
    walk_tasks(world, report, {"planted.task": planted_task})
    assert "planted.task device_id: changes rows of theirs in devices_device" in report.leaks


def test_what_cannot_be_walked_is_named(world: World, report: DoorReport) -> None:
    @shared_task(name="planted.strange")
    def strange(anything: str) -> None:
        """Takes no organization."""

    walk_tasks(world, report, {"planted.strange": strange})
    assert report.not_walked == ["planted.strange: takes no organization and stands on no list"]
