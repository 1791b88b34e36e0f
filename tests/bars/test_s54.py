"""S54: every answer of the web port tells browsers to run, frame and leak nothing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from tests import factories
from tests.platform.runner import ROOT

SECRET = "S9f-2kLq_81hAx7" * 4
PAGES_WITHOUT_SIGN_IN = ["account_login", "docs"]
PAGES = [
    "/",
    "/devices",
    "/device-groups",
    "/releases",
    "/rollouts",
    "/artifacts",
    "/enrollment-tokens",
    "/api-keys",
    "/audit",
    "/settings/",
    "/admin/",
    "/admin/devices/device/",
    "/nothing/here",
    "/devices/019a0000-0000-7000-8000-000000000000",
]
OTHERS = ["/api/v1/devices", "/api/v1/nothing", "/healthz", "/metrics", "/api/v1/openapi.json"]
RPC = "/public.v1.FleetService/ListDevices"
ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture
async def web(transactional_db: None, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The web port as the product builds it."""
    from fleetd.asgi import application

    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def _session_of(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def _directives(answer: httpx.Response) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    found = {}
    for part in policy.split(";"):
        name, _, sources = part.strip().partition(" ")
        assert name not in found, policy
        found[name] = sources
    return found


def _check(answer: httpx.Response, path: str) -> None:
    for name, value in ALWAYS.items():
        assert answer.headers.get(name) == value, (path, name)
    assert "permissions-policy" in answer.headers, path
    assert len(answer.headers.get_list("content-security-policy")) == 1, path
    policy = answer.headers["content-security-policy"]
    assert "unsafe-" not in policy, path
    assert "*" not in policy, path
    assert "http:" not in policy, path
    directives = _directives(answer)
    for name in ("object-src", "base-uri", "frame-ancestors"):
        assert directives[name] == "'none'", (path, name)
    assert "default-src" in directives
    assert "form-action" in directives


def _check_page(answer: httpx.Response, path: str) -> None:
    """Scripts and styles are files of ours, or carry the nonce of this answer."""
    body = answer.text
    nonces = re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
    for tag in re.findall(r"<(?:script|style)\b[^>]*>", body):
        is_file = re.search(r'\bsrc="/[a-z]', tag)
        is_data = 'type="application/json"' in tag
        assert is_file or is_data or any(f'nonce="{n}"' in tag for n in nonces), (path, tag)
    assert not re.search(r'<[^>]+\son[a-z]+\s*=\s*["\']', body), path
    assert not re.search(r"<[^>]+\sstyle\s*=", body), path
    assert "javascript:" not in body.lower(), path


async def test_s54_every_answer_carries_the_headers(web: httpx.AsyncClient, alice_member: Any):
    """Given pages, the admin, the API reference, error pages, REST, Connect errors and refusals of
    the outermost layer, when they are answered, then none allows inline code, plug-ins, a base or a
    frame, and all forbid sniffing and leaking the address."""
    session = await sync_to_async(_session_of)(alice_member.user)
    signed_in = {"cookie": f"sessionid={session}"}
    key = await sync_to_async(factories.api_key)(alice_member)
    shown = 0
    for path in [*PAGES, *(reverse(name) for name in PAGES_WITHOUT_SIGN_IN)]:
        for headers in (signed_in, {}):
            answer = await web.get(path, headers=headers)
            assert answer.status_code < 500, path
            _check(answer, path)
            if answer.headers.get("content-type", "").startswith("text/html"):
                _check_page(answer, path)
                shown += answer.status_code == 200
    assert shown >= len(PAGES) - 3
    for path in OTHERS:
        _check(await web.get(path, headers={"authorization": f"Bearer {key}"}), path)
        _check(await web.get(path), path)
    for body, kind in ((b"{}", "application/json"), (b"\xff", "application/proto"), (b"", "x/y")):
        _check(await web.post(RPC, content=body, headers={"content-type": kind}), RPC)
    _check(await web.get("/", headers={"x-large": "x" * 65_536}), "too large")
    _check(await web.get("/", headers={"host": "evil.example"}), "unknown host")
    _check(await web.post("/api/v1/devices", headers={"content-encoding": "gzip"}), "encoded")


async def test_s54_a_nonce_is_good_for_one_answer(web: httpx.AsyncClient) -> None:
    """Given a page, when it is asked for twice, then no nonce comes twice."""
    path = reverse("account_login")
    policies = [(await web.get(path)).headers["content-security-policy"] for _ in range(3)]
    nonces = [n for p in policies for n in set(re.findall(r"'nonce-([^']+)'", p))]
    assert len(nonces) == len(set(nonces))


def _production(tmp_path: Path, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A command with the settings of a public installation."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLEETD_", "DJANGO_"))}
    environment = kept | {
        "FLEETD_DATA_DIR": str(tmp_path),
        "FLEETD_SECRET_KEY": SECRET,
        "FLEETD_EXTERNAL_URL": "https://fleet.example.com",
        "FLEETD_TRUSTED_PROXIES": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'agent'}",
        **changes,
    }
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=ROOT, capture_output=True, text=True
    )


def test_s54_the_deployment_check_finds_nothing(tmp_path: Path) -> None:
    """Given the settings of a public installation, when Django's deployment check runs, then it
    prints no warning; where https is announced and no proxy is counted, it says what is missing."""
    clean = _production(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert clean.returncode == 0, clean.stderr
    assert "no issues" in clean.stdout + clean.stderr
    told = _production(tmp_path, "manage.py", "check", "--deploy", FLEETD_TRUSTED_PROXIES="0")
    assert "security.W008" in told.stderr


SHOW = """
import json
import django
django.setup()
from django.conf import settings
from django.test import Client
from apps.web.security_headers import with_security_headers
import asyncio
names = [n for n in dir(settings) if n.endswith(("_SECURE", "_HTTPONLY", "_SAMESITE", "_NAME",
         "_DOMAIN", "_PATH")) and n.startswith(("SESSION_COOKIE", "CSRF_COOKIE"))]
found = {n: getattr(settings, n) for n in names}
sent = []
async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
async def keep(message):
    sent.extend(message["headers"])
asyncio.run(with_security_headers(inner)({"type": "http"}, None, keep))
found["hsts"] = dict(sent)[b"strict-transport-security"].decode()
plain = Client(headers={"host": "fleet.example.com"}).get("/")
found["plain"] = [plain.status_code, plain.headers.get("Location")]
print(json.dumps(found))
"""


def test_s54_cookies_of_a_public_installation_stay_on_this_host(tmp_path: Path) -> None:
    """Given https, when cookies are set, then they are Secure, HttpOnly, SameSite, and named so
    that no other host can plant them; plain requests are led to https, and HSTS is told."""
    shown = _production(
        tmp_path, "-c", SHOW, DJANGO_SETTINGS_MODULE="fleetd.settings.base", PYTHONWARNINGS="ignore"
    )
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout.splitlines()[-1])
    for kind in ("SESSION", "CSRF"):
        assert found[f"{kind}_COOKIE_NAME"].startswith("__Host-")
        assert found[f"{kind}_COOKIE_SECURE"] is True
        assert found[f"{kind}_COOKIE_HTTPONLY"] is True
        assert found[f"{kind}_COOKIE_SAMESITE"] in ("Lax", "Strict")
        assert found[f"{kind}_COOKIE_DOMAIN"] is None
        assert found[f"{kind}_COOKIE_PATH"] == "/"
    assert "max-age=31536000" in found["hsts"]
    assert found["plain"] == [301, "https://fleet.example.com/"]


def test_s54_every_cookie_that_is_set_has_its_flags(client: Client, alice_member: Any) -> None:
    """Given the sign-in page, when it sets cookies, then each is HttpOnly and SameSite."""
    page = reverse("account_login")
    client.get(page)
    client.post(page, {"login": alice_member.user.email, "password": factories.PASSWORD})
    assert {"csrftoken", "sessionid"} <= set(client.cookies)
    for cookie in client.cookies.values():
        assert cookie["samesite"] in ("Lax", "Strict"), cookie
        assert cookie["httponly"], cookie
