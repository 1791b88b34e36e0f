"""S03: given a body field that names a related object (team, device, group, artifact, parent), when
its id belongs to B, then 400 or 404 and nothing is stored, also by nested write, bulk and gRPC.
"""

from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import rest_routes, walk_rest
from fleetd.isolation.rpc import walk_rpc
from fleetd.isolation.rpc_calls import methods
from fleetd.isolation.world import World


def test_s03_no_field_of_rest_takes_an_object_of_another_organization(
    world: World, report: DoorReport
) -> None:
    chosen = [r for r in rest_routes() if r.fields]
    walk_rest(world, report, chosen, in_paths=False, with_tokens=False)
    assert (report.leaks, report.not_walked) == ([], [])


def test_s03_no_field_of_an_rpc_takes_an_object_of_another_organization(
    world: World, report: DoorReport, one_thread: None
) -> None:
    chosen = [m for m in methods() if any(f.path != ("id",) for f in m.fields)]
    walk_rpc(world, report, chosen, in_ids=False)
    assert (report.leaks, report.not_walked) == ([], [])


def test_s03_there_are_fields_of_each_form() -> None:
    fields = [field for method in methods() for field in method.fields]
    assert any(field.is_list for field in fields)
    assert any(len(field.path) > 1 for field in fields)
    assert len([r for r in rest_routes() if r.fields]) > 10
