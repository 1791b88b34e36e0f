"""The audit list over REST: filters, pages, files."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from apps.audit import selectors
from apps.audit.api import exports
from apps.audit.domain.cells import original
from apps.audit.models import AuditEntry
from apps.audit.services.entries import record
from apps.core.actors import Actor, system_actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from tests.audit.support import write_entries
from tests.factories import Cast
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(acme: Cast, alice: Actor, bob: Actor) -> list[AuditEntry]:
    """Five entries of different people, doors and results."""
    denied = AuditEntry.Result.DENIED
    with tenant(acme.id):
        return [
            record(alice, "updates.create_rollout", acme.device, changes={"name": "=cmd()"}),
            record(alice, "updates.pause_rollout"),
            record(bob, "devices.update_device", acme.device, changes={"name": ["a", "b"]}),
            record(bob, "updates.pause_rollout", result=denied),
            record(system_actor(acme.id), "devices.mark_offline"),
        ]


def numbers(api: Api, **query: Any) -> list[int]:
    answer = api.get("audit-entries", **query)
    assert answer.status_code == 200, answer.content
    return [item["sequence"] for item in answer.json()["items"]]


def test_each_filter_narrows(
    api: Api, acme: Cast, filled: list[AuditEntry], bob_member: Membership
) -> None:
    assert numbers(api) == [5, 4, 3, 2, 1]
    assert numbers(api, action="updates.pause_rollout") == [4, 2]
    assert numbers(api, action_prefix="updates.") == [4, 2, 1]
    assert numbers(api, actor_id=str(bob_member.user_id)) == [4, 3]
    assert numbers(api, actor="BOB@") == [4, 3]
    assert numbers(api, object_id=str(acme.device.id)) == [3, 1]
    assert numbers(api, object_type="device") == [3, 1]
    assert numbers(api, result="denied") == [4]
    assert numbers(api, source="task") == [5]
    assert numbers(api, request_id="request-1") == [4, 3, 2, 1]
    assert numbers(api, actor_id="nobody") == []
    assert numbers(api, action_prefix="updates.", result="success", actor="alice") == [2, 1]


def test_times_bound_the_list(api: Api, filled: list[AuditEntry]) -> None:
    third = filled[2].time
    assert numbers(api, since=third.isoformat()) == [5, 4, 3]
    assert numbers(api, until=third.isoformat().replace("+00:00", "Z")) == [2, 1]
    assert numbers(api, since=(third + timedelta(days=1)).isoformat()) == []
    answer = api.get("audit-entries", since="yesterday")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "invalid_time")


def test_a_filtered_list_has_pages(api: Api, filled: list[AuditEntry]) -> None:
    first = api.get("audit-entries", action_prefix="updates.", page_size=2).json()
    assert [i["sequence"] for i in first["items"]] == [4, 2]
    rest = numbers(api, action_prefix="updates.", page_token=first["next_page_token"])
    assert rest == [1]


def test_filters_that_may_be_rare_have_an_index(acme: Cast) -> None:
    write_entries(acme.id, 300)  # so few that the planner has a choice would prove nothing
    with tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for filters, index in (
            ({"object_id": "x"}, "audit_by_object"),
            ({"request_id": "x"}, "audit_by_request"),
            ({"actor_id": str(acme.id)}, "audit_by_actor"),
            ({"result": "denied"}, "audit_refusals"),
        ):
            rows = AuditEntry.objects.for_org(acme.id).filter(**filters).order_by("-sequence")
            assert index in rows[:51].explain(), filters


def as_file(api: Api, kind: str, **query: Any) -> Any:
    api.headers["Accept"] = kind
    answer = api.get("audit-entries", **query)
    del api.headers["Accept"]
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == f"{kind}; charset=utf-8"
    return answer


def test_the_list_is_a_csv_file_for_whoever_asks(api: Api, filled: list[AuditEntry]) -> None:
    answer = as_file(api, "text/csv", action_prefix="updates.")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
    assert [row["sequence"] for row in rows] == ["4", "2", "1"]
    assert json.loads(rows[-1]["changes"]) == {"name": "=cmd()"}
    assert "attachment" in answer["Content-Disposition"]
    assert [original(row["object_label"]) for row in rows] == ["", "", "acme-one"]


def test_the_list_is_an_ndjson_file_for_whoever_asks(api: Api, filled: list[AuditEntry]) -> None:
    answer = as_file(api, "application/x-ndjson", fields="sequence,changes")
    lines = [json.loads(line) for line in answer.content.decode().splitlines()]
    assert [line["sequence"] for line in lines] == [5, 4, 3, 2, 1]
    assert {*lines[0]} == {"sequence", "changes"}


def test_a_long_list_comes_in_several_files(
    api: Api, acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MAX_FILE_ROWS", 4)
    monkeypatch.setattr(selectors, "MAX_PAGE_SIZE", 3)
    write_entries(acme.id, 10)
    seen, token = [], ""
    for _ in range(3):
        answer = as_file(api, "application/x-ndjson", fields="sequence", page_token=token)
        seen += [json.loads(line)["sequence"] for line in answer.content.splitlines()]
        token = answer.get("Next-Page-Token", "")
        assert ("Link" in answer) == bool(token)
    assert seen == list(range(10, 0, -1))
    assert token == ""


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"), ("*/*", ""), ("", ""), ("application/json", ""),
        ("text/html, application/x-ndjson;q=0.9", "application/x-ndjson"),
        ("application/json, text/csv", ""), ("image/png", ""),
    ],
)  # fmt: skip
def test_what_is_preferred_decides(accept: str, kind: str) -> None:
    assert exports.file_kind(accept) == kind


def test_a_file_needs_the_same_right(bob_member: Membership, api_of: Any) -> None:
    reader = api_of(bob_member)
    reader.headers["Accept"] = "text/csv"
    answer = reader.get("audit-entries")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_checkpoints_are_listed(
    api: Api, acme: Cast, settings: Any, tmp_path: Any, globex: Cast
) -> None:
    from apps.audit.services.checkpoints import create_checkpoints
    from tests.audit.support import own_places

    own_places(settings, tmp_path)
    for cast in (acme, globex):
        write_entries(cast.id, 2)
        with tenant(cast.id):
            create_checkpoints(system_actor(cast.id))
    (item,) = api.get("audit-checkpoints").json()["items"]
    assert (item["sequence"], item["since"], len(item["signature"])) == (2, 0, 128)


def test_the_document_says_that_there_are_files() -> None:
    from django.test import Client

    document = Client().get("/api/v1/openapi.json").json()
    content = document["paths"]["/api/v1/audit-entries"]["get"]["responses"]["200"]["content"]
    assert {*content} == {"application/json", "text/csv", "application/x-ndjson"}
