"""Every failure below /api/ is a problem document that says its code and its request id."""

from typing import Any

import pytest

from apps.organizations.models import Membership
from tests.factories import Cast
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document, checked for its form."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["title"]
    assert document["detail"]
    assert document["type"].endswith(code)
    assert document["request_id"] == response["Request-Id"]
    assert isinstance(document["errors"], list)
    return dict(document)


def test_without_a_credential_the_answer_is_401_and_names_the_scheme(acme: Cast) -> None:
    response = Api().get("devices")
    problem(response, 401, "unauthenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": "Bearer nonsense"}, "invalid_token"),
        ({"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}, "invalid_token"),
        ({"Authorization": "Basic YTpi"}, "invalid_token"),
        ({"Authorization": "Bearer"}, "invalid_token"),
        ({"X-API-Key": "fld_pat_00000000000000000000000000000000_000000"}, "invalid_api_key"),
    ],
)
def test_a_credential_that_is_not_ours_is_401(
    acme: Cast, headers: dict[str, str], code: str
) -> None:
    response = Api(**headers).get("auth/me")
    problem(response, 401, code)
    assert response["WWW-Authenticate"] == 'Bearer realm="fleetd", error="invalid_token"'


def test_a_bad_key_is_not_replaced_by_the_session(alice_member: Membership) -> None:
    api = Api(Authorization="Bearer nonsense")
    api.client.force_login(alice_member.user)
    problem(api.get("auth/me"), 401, "invalid_token")


def test_an_unknown_address_is_404_with_and_without_a_key(api: Api) -> None:
    problem(api.get("nothing"), 404, "not_found")
    problem(Api().get("nothing/at/all/"), 404, "not_found")
    problem(Api().client.get("/api/v2/devices"), 404, "not_found")


def test_an_id_that_is_none_is_404(api: Api) -> None:
    problem(api.get("devices/1"), 404, "not_found")
    problem(api.get("devices/%00"), 404, "not_found")


def test_a_method_that_is_not_there_is_405_and_says_which_are(api: Api) -> None:
    response = api.delete("devices")
    problem(response, 405, "method_not_allowed")
    assert "GET" in response["Allow"]


def test_another_content_type_is_415(api: Api) -> None:
    response = api.client.post(
        "/api/v1/device-groups", "name=x", content_type="text/plain", headers=api.headers
    )
    problem(response, 415, "unsupported_media_type")


def test_a_body_that_is_too_long_is_413(api: Api) -> None:
    response = api.send("POST", "device-groups", b'{"name": "' + b"x" * 3_000_000 + b'"}')
    problem(response, 413, "body_too_large")


def test_a_missing_right_is_403_and_names_it(bob_member: Membership, api_of: Any) -> None:
    document = problem(api_of(bob_member).post("device-groups", name="x"), 403, "permission_denied")
    assert document["metadata"] == {"permission": "devices.create_device_group"}


def test_every_bad_field_is_pointed_at(api: Api) -> None:
    response = api.post("device-groups", name=7, tag=["a"], colour="red")
    document = problem(response, 400, "invalid_request")
    assert [(e["pointer"], e["code"]) for e in document["errors"]] == [
        ("/name", "invalid_value"),
        ("/tag", "invalid_value"),
        ("/colour", "unknown_field"),
    ]


def test_rules_of_the_proto_file_hold_here_too(api: Api) -> None:
    document = problem(api.post("device-groups", name=""), 400, "invalid_request")
    assert [(e["pointer"], e["code"]) for e in document["errors"]] == [("/name", "string_min_len")]


def test_a_name_that_is_taken_is_409(api: Api, acme: Cast) -> None:
    response = api.post("device-groups", name=acme.group.name)
    problem(response, 409, "device_group_name_taken")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"name": "a", "name": "b"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b'{"name": 1e999}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"name": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}",
        b"\xff\xfe",
        b"\x00",
    ],
)
def test_json_that_is_not_a_plain_object_is_400(api: Api, body: bytes) -> None:
    problem(api.send("POST", "device-groups", body), 400, "invalid_request")


def test_a_browser_session_needs_its_csrf_token(alice_member: Membership) -> None:
    api = Api()
    api.client = type(api.client)(enforce_csrf_checks=True)
    api.client.force_login(alice_member.user)
    assert api.get("auth/me").status_code == 200
    problem(api.post("device-groups", name="x"), 403, "csrf_failed")


def test_the_clients_own_request_id_is_kept_if_it_is_harmless(api: Api) -> None:
    api.headers["Request-Id"] = "ci-run-4711"
    assert api.get("auth/me")["Request-Id"] == "ci-run-4711"
    api.headers["Request-Id"] = "evil id\twith spaces"
    assert api.get("auth/me")["Request-Id"].startswith("req_")


def test_after_twenty_bad_keys_the_address_has_to_wait_and_good_keys_still_work(api: Api) -> None:
    guess = Api("nonsense")
    address = {"REMOTE_ADDR": "203.0.113.77"}
    for _ in range(20):
        guess.client.get("/api/v1/auth/me", headers=guess.headers, **address)
    refused = guess.client.get("/api/v1/auth/me", headers=guess.headers, **address)
    problem(refused, 429, "too_many_requests")
    assert int(refused["Retry-After"]) > 0
    assert api.client.get("/api/v1/auth/me", headers=api.headers, **address).status_code == 200


def test_an_unexpected_error_is_500_and_says_nothing_about_its_cause(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret plan")

    monkeypatch.setattr("apps.devices.selectors.list_devices", broken)
    response = api.get("devices")
    problem(response, 500, "internal_error")
    assert b"secret plan" not in response.content
