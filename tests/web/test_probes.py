"""/healthz, /readyz and /metrics."""

import pytest
from django.db import DatabaseError
from django.test import Client

from tests.factories import Cast


def test_healthz_answers_without_a_database_and_whatever_the_host(client: Client) -> None:
    response = client.get("/healthz", headers={"Host": "10.1.2.3"})
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_readyz_says_what_is_there(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "checks": {"postgresql": "ok", "valkey": "ok", "migrations": "ok"},
    }


@pytest.mark.django_db
def test_without_valkey_the_process_stays_in_service_and_says_so(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    settings.REDIS_URL = "unix:///nowhere.sock"  # type: ignore[attr-defined]
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["checks"]["valkey"] == "unreachable"


@pytest.mark.django_db
def test_without_a_database_the_process_is_out_of_service(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DatabaseError("server closed the connection, host=db.internal")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", refuse)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["postgresql"] == "unreachable"
    assert b"db.internal" not in response.content


@pytest.mark.django_db
def test_metrics_count_by_route_and_name_no_id(client: Client, acme: Cast) -> None:
    client.get(f"/api/v1/devices/{acme.device.id}")
    text = client.get("/metrics").content.decode()
    assert 'fleetd_http_requests_total{method="GET",route="api/v1/devices/' in text
    assert str(acme.device.id) not in text
