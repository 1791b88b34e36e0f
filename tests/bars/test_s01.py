"""S01: given every route in the OpenAPI schema and every gRPC method, when a user, device or API
key of A calls it with each id of B, then the answer is not found with the same body shape as for a
random id, and no row of B changes (table checksums before and after). The matrix is generated.
"""

from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import rest_routes, walk_rest
from fleetd.isolation.rpc import walk_rpc
from fleetd.isolation.rpc_calls import methods
from fleetd.isolation.world import World


def test_s01_no_route_tells_an_id_of_another_organization_from_one_that_never_was(
    world: World, report: DoorReport
) -> None:
    walk_rest(world, report, in_fields=False, with_tokens=False)
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.operations >= 2 * len(rest_routes()) > 150


def test_s01_no_rpc_tells_an_id_of_another_organization_from_one_that_never_was(
    world: World, report: DoorReport, one_thread: None
) -> None:
    walk_rpc(world, report, in_fields=False, on_the_wire=False)
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.operations >= len(methods()) > 80


def test_s01_nor_do_grpc_and_the_port_of_devices(
    world: World, report: DoorReport, one_thread: None
) -> None:
    walk_rpc(world, report, in_fields=False, in_ids=False)
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.calls > 200
