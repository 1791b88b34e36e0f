"""Every method says which right it needs, or why it needs none."""

import pytest

from apps.core import authz
from fleetd.rpc import registry
from fleetd.rpc.authentication import OPEN_METHODS
from fleetd.rpc.naming import snake
from fleetd.rpc.registry import SERVICES, WITHOUT_PERMISSION, undeclared_methods

METHODS = [
    (service, method.name)
    for service in SERVICES
    for method in service.descriptor.methods
    if f"{service.name}/{method.name}" not in WITHOUT_PERMISSION
]


def test_every_method_declares_its_permission() -> None:
    assert undeclared_methods() == []


@pytest.mark.parametrize(("service", "method"), METHODS, ids=[f"{s.name}/{m}" for s, m in METHODS])
def test_a_method_without_its_declaration_is_noticed(
    service: registry.Service, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = next(part for part in service.parts() if hasattr(part, snake(method)))
    monkeypatch.delattr(getattr(type(owner), snake(method)), authz._DECLARED)
    assert undeclared_methods() == [f"{service.name}/{method}"]


def test_exceptions_name_methods_that_exist_and_declare_nothing() -> None:
    known = {
        f"{descriptor.full_name}/{method.name}"
        for descriptor in (*(s.descriptor for s in SERVICES), registry.AGENT_SERVICE)
        for method in descriptor.methods
    }
    assert set(WITHOUT_PERMISSION) <= known


def test_open_methods_are_the_listed_ones() -> None:
    marked = {
        f"{service.name}/{method.name}"
        for service in SERVICES
        for method in service.descriptor.methods
        if getattr(getattr(service.servicer(), snake(method.name)), "is_open", False)
    }
    assert marked == OPEN_METHODS
    assert marked <= set(WITHOUT_PERMISSION)


def test_two_servicers_cannot_answer_one_method() -> None:
    class Twice:
        async def list_devices(self, request: object, ctx: object) -> None:
            """Answers."""

    fleet = next(s for s in SERVICES if s.name == "public.v1.FleetService")
    with pytest.raises(RuntimeError):
        registry.Servicer(fleet.descriptor, (Twice(), Twice()))
