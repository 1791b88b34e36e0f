"""S59: other sites' pages read only what the caller's organization lets them; writes need CSRF."""

from collections.abc import AsyncIterator

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from apps.organizations.models import Organization
from apps.web.organization_rules import forget_rules
from tests import factories

LISTED = "https://app.example.com"
OF_GLOBEX = "https://globex.example.com"
LOOK_ALIKES = [
    "null",
    "https://app.example.com.evil.test",
    "https://evil-app.example.com",
    "https://example.com",
    "https://sub.app.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://APP.EXAMPLE.COM",
    "https://app.example.com/",
    "https://app.example.com\x00",
    "https://app.example.com, https://evil.test",
    " https://app.example.com",
    "*",
    "",
    "https://app。example.com",
    OF_GLOBEX,
]
ALLOW = "access-control-allow-origin"
REST = ("GET", "/api/v1/devices")
CONNECT = ("POST", "/public.v1.FleetService/ListDevices")
DOORS = [REST, CONNECT, ("POST", "/public/v1/public.v1.FleetService/ListDevices")]


@pytest.fixture
async def web(transactional_db: None, settings) -> AsyncIterator[httpx.AsyncClient]:
    """The web port as the product builds it."""
    from fleetd.asgi import application

    forget_rules()
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    forget_rules()


@pytest.fixture
def keys(transactional_db: None, alice_member, charlie_member, acme, globex) -> dict[str, str]:
    """A key of each organization; each has an origin of its own."""
    for cast, origin in ((acme, LISTED), (globex, OF_GLOBEX)):
        Organization.objects.filter(id=cast.id).update(settings={"cors.allowed_origins": [origin]})
    return {
        "acme": factories.api_key(alice_member),
        "globex": factories.api_key(charlie_member),
    }


def _call(web: httpx.AsyncClient, door: tuple[str, str], **headers: str):
    method, path = door
    raw = [(k.replace("_", "-").encode(), v.encode("utf-8")) for k, v in headers.items()]
    if method == "POST":
        raw.append((b"content-type", b"application/json"))
    return web.request(method, path, headers=raw, content=b"{}" if method == "POST" else b"")


def _preflight(web: httpx.AsyncClient, door: tuple[str, str], origin: str):
    headers = [
        (b"origin", origin.encode("utf-8")),
        (b"access-control-request-method", door[0].encode()),
        (b"access-control-request-headers", b"authorization,content-type"),
    ]
    return web.request("OPTIONS", door[1], headers=headers)


def _is_silent(answer: httpx.Response) -> bool:
    return not [name for name in answer.headers if name.startswith("access-control-")]


def _session_of(user) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


async def test_s59_a_listed_page_may_read_with_its_token(web, keys):
    """Given an origin on the organization's list, when its page calls with a token, then it may
    read the answer; never with credentials, never as `*`."""
    for door in DOORS:
        preflight = await _preflight(web, door, LISTED)
        assert preflight.status_code == 204
        assert preflight.headers[ALLOW] == LISTED
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
        answer = await _call(web, door, origin=LISTED, authorization=f"Bearer {keys['acme']}")
        assert answer.status_code == 200, answer.text
        assert answer.headers[ALLOW] == LISTED
        for each in (preflight, answer):
            assert "access-control-allow-credentials" not in each.headers
            assert "Origin" in each.headers["vary"]


async def test_s59_no_other_origin_may_read(web, keys):
    """Given `null`, a look-alike or another organization's origin, when its page calls with a
    token of this one, then no header allows it to read; only a listed one passes a preflight."""
    for door in DOORS[:2]:
        for origin in LOOK_ALIKES:
            answer = await _call(web, door, origin=origin, authorization=f"Bearer {keys['acme']}")
            assert _is_silent(answer), origin
            assert "Origin" in answer.headers["vary"]
            preflight = await _preflight(web, door, origin)
            assert (preflight.headers.get(ALLOW) == origin) is (origin == OF_GLOBEX), origin


async def test_s59_a_page_without_a_token_reads_nothing(web, keys):
    """Given a listed origin, when its page calls without or with a bad token, then the answer is
    not readable, and says nothing about whose list it is on."""
    assert _is_silent(await _call(web, REST, origin=LISTED))
    assert _is_silent(await _call(web, REST, origin=LISTED, authorization="Bearer fld_pat_x"))


async def test_s59_two_origins_at_once_are_none(web, keys):
    """Given a call that names two origins, when both are listed, then no header allows it."""
    headers = [("Origin", LISTED), ("Origin", LISTED), ("Authorization", f"Bearer {keys['acme']}")]
    assert _is_silent(await web.get("/api/v1/devices", headers=headers))


async def test_s59_a_foreign_page_never_uses_the_session(web, keys, alice_member):
    """Given a signed-in browser, when a listed page of another site calls with its cookies, then
    the session counts for nothing; from our own page it does."""
    cookie = f"sessionid={await sync_to_async(_session_of)(alice_member.user)}"
    foreign = await _call(web, REST, origin=LISTED, cookie=cookie)
    assert foreign.status_code == 401
    assert _is_silent(foreign)
    own = await _call(web, REST, origin="http://localhost", cookie=cookie)
    assert own.status_code == 200
    assert _is_silent(own)


async def test_s59_a_list_that_changes_counts_after_seconds(web, keys, acme, monkeypatch):
    """Given a listed origin, when the organization takes it off, then it stops counting."""
    headers = {"origin": LISTED, "authorization": f"Bearer {keys['acme']}"}
    assert not _is_silent(await _call(web, REST, **headers))
    await Organization.objects.filter(id=acme.id).aupdate(settings={})
    forget_rules()
    assert _is_silent(await _call(web, REST, **headers))


async def test_s59_pages_are_for_our_own_site(web, keys):
    """Given a listed origin, when its page asks for pages, sockets or the admin, then nothing
    allows it: only the API does."""
    for path in ("/", "/devices", "/admin/", "/accounts/login/", "/api/v1", "/metrics"):
        assert _is_silent(await _preflight(web, ("GET", path), LISTED)), path


FORMS: list[tuple[str, str]] = [
    ("POST", "{logout}"),
    ("POST", "{login}"),
    ("POST", "/artifacts/upload"),
    ("POST", "/admin/logout/"),
    ("POST", "/api/v1/device-groups"),
    ("PATCH", "/api/v1/devices/{device}"),
    ("POST", "/devices/{device}/quarantine"),
    ("POST", "/device-groups"),
    ("POST", "/enrollment-tokens"),
    ("POST", "/api-keys"),
]


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_s59_a_write_with_a_cookie_needs_the_token_of_our_page(
    form: tuple[str, str], alice_member, acme
) -> None:
    """Given a signed-in browser, when a form is sent without the CSRF token of a page of ours, then
    it is refused and the session lives on, logout included."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice_member.user)
    method, path = form
    answer = client.generic(
        method,
        path.format(
            device=acme.device.id,
            login=reverse("account_login"),
            logout=reverse("account_logout"),
        ),
        b"{}" if path.startswith("/api/") else b"",
        "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded",
    )
    assert answer.status_code == 403, answer.content[:300]
    assert client.get("/api/v1/devices").status_code == 200


def test_s59_every_form_of_every_app_checks_the_token() -> None:
    """Given all routes, when one switches the check off, then it is on the list of those that
    take a token or signature and no cookie."""
    from django.urls import get_resolver

    without: set[str] = set()

    def walk(patterns: list, prefix: str = "") -> None:
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, route)
            elif getattr(pattern.callback, "csrf_exempt", False):
                without.add(route)

    walk(get_resolver().url_patterns)
    # REST checks the token itself, for sessions only (`OrgAPIView.perform_authentication`); the
    # upload checks it after it has put its own way of storing files in place.
    others = {route for route in without if not route.startswith(("api/v1/", "^api/"))}
    # Programs prove themselves to the device flow with what they send; cookies count for nothing.
    flow = {"oauth/device_authorization", "oauth/token", "oauth/revoke"}
    assert others == {"artifacts/upload", *flow}
