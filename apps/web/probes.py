"""What load balancers and Prometheus ask: is the process alive, can it serve, what did it count."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from redis import Redis
from redis.exceptions import RedisError

from apps.core.addresses import is_private_peer

log = structlog.get_logger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]

REQUESTS = Counter(
    "fleetd_http_requests", "Requests that Django answered", ["method", "route", "status"]
)
SECONDS = Histogram(
    "fleetd_http_seconds",
    "How long Django took to answer",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30),
)
METRICS = "/metrics"
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})


class ProbeMiddleware:
    """Answers `/healthz`, `/readyz` and `/metrics`, whatever the Host header; counts the rest."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.probes = {"/healthz": self.healthz, "/readyz": self.readyz, METRICS: self.metrics}
        self.is_migrated = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The probe's answer, or the answer of what lies behind."""
        probe = self.probes.get(request.path)
        if probe is not None and request.method in ("GET", "HEAD"):
            if request.path == METRICS and not _may_read_metrics(request):
                return _refused()
            return probe()
        began = time.perf_counter()
        response = self.get_response(request)
        _count(request, response, time.perf_counter() - began)
        return response

    def healthz(self) -> HttpResponse:
        """Alive: asks nobody."""
        return _uncached(HttpResponse("ok\n", "text/plain"))

    def readyz(self) -> HttpResponse:
        """Whether requests can be served, and what is missing.

        PostgreSQL and its tables are needed. Without Valkey everything works, only later; that is
        said and does not take the process out of service.
        """
        checks = {"postgresql": _postgresql(), "valkey": _valkey()}
        checks["migrations"] = self._migrations() if checks["postgresql"] == "ok" else "unknown"
        is_ready = checks["postgresql"] == checks["migrations"] == "ok"
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        answer = JsonResponse({"ready": is_ready, "checks": checks}, status=status)
        return _uncached(answer)

    def metrics(self) -> HttpResponse:
        """What this process counted, for Prometheus."""
        return _uncached(HttpResponse(generate_latest(), CONTENT_TYPE_LATEST))

    def _migrations(self) -> str:
        """Whether all migrations have run; once they have, they have for this process."""
        if not self.is_migrated:
            try:
                executor = MigrationExecutor(connection)
                plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
            except DatabaseError:
                return "unknown"
            self.is_migrated = not plan
        return "ok" if self.is_migrated else "pending"


def _may_read_metrics(request: Any) -> bool:
    """Whoever has the token; where none is set, neighbours on this machine or network.

    Figures say how large a fleet is and what it does: nothing for the whole internet.
    """
    if settings.METRICS_TOKEN is None:
        return is_private_peer(request.client_address)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    sent, expected = token.strip().encode(), settings.METRICS_TOKEN.encode()
    return scheme.lower() == "bearer" and constant_time_compare(sent, expected)


def _refused() -> HttpResponse:
    headers = {"WWW-Authenticate": 'Bearer realm="metrics"'}
    answer = HttpResponse(
        "Send the token of FLEETD_METRICS_TOKEN.\n", "text/plain", headers=headers
    )
    answer.status_code = HTTPStatus.UNAUTHORIZED
    return _uncached(answer)


def _postgresql() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("database_unavailable", error=str(error))
        return "unreachable"
    return "ok"


def _valkey() -> str:
    client = Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        with client:
            client.ping()
    except (RedisError, OSError):
        return "unreachable"
    return "ok"


def _count(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """By route, not by path: a path holds ids, and there are as many as objects."""
    match = request.resolver_match
    route = match.route if match is not None else "none"
    method = request.method if request.method in _METHODS else "other"
    REQUESTS.labels(method, route, response.status_code).inc()
    SECONDS.labels(method, route).observe(seconds)


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response
