"""S55: what people and devices write is shown as text, in every page that shows it."""

import os
import shutil
from collections import deque
from typing import Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.test import Client
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from apps.accounts.models import User
from apps.core.guards import tenant_models
from apps.core.tenancy import tenant
from apps.organizations.models import Organization
from tests import factories
from tests.isolation.world import furnish
from tests.web_server import WebServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
# How many pages the ordinary suite opens; the whole bar opens all that links lead to.
MOST_PAGES = 1000 if os.environ.get("FLEETD_BAR_EXAMPLES") else 36
RUN = "pwned()"
STRINGS = [
    f"<script>{RUN}</script>",
    f"<ScRiPt>{RUN}</sCrIpT>",
    f"</script><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<img/src=x/onerror={RUN}>",
    f'"><img src=x onerror={RUN}>',
    f"'><img src=x onerror={RUN}>",
    f'" onfocus={RUN} autofocus x="',
    f"' onmouseover={RUN} x='",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x>",
    f"<math><mi xlink:href=javascript:{RUN}>x",
    f"<body onload={RUN}>",
    f"<iframe src=javascript:{RUN}>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'>",
    f"<a href=javascript:{RUN} autofocus>x</a>",
    f"javascript:{RUN}",
    f"<details open ontoggle={RUN}>",
    f"<video><source onerror={RUN}>",
    f"<style>@import'javascript:{RUN}'</style>",
    f"<form action=javascript:{RUN}><button autofocus>",
    "<base href=https://evil.test/>",
    "<meta http-equiv=refresh content='0;url=https://evil.test/'>",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"${{{RUN}}}",
    f"<!--><script>{RUN}</script>-->",
    f"&lt;script&gt;{RUN}&lt;/script&gt;\u2028<script>{RUN}</script>",
]
# What is no text of people or devices: names of code, digests, ids, addresses.
NOT_WRITTEN = {
    "password", "secret_hash", "prefix", "sha256", "plan_hash", "slug", "email", "request_id",
    "spec", "target", "plan", "settings", "filter", "storage_key", "kind", "code",
    "permissions", "scopes", "role", "source", "action", "actor_kind", "object_type",
}  # fmt: skip
NOT_OPENED = ("/accounts/logout", "/admin/logout", "/static/", "/install", "/api/", "/metrics")
WATCH = """
window.addEventListener('securitypolicyviolation', (e) => {
  refused(e.violatedDirective + ' ' + e.blockedURI + ' ' + location.pathname);
});
"""


def _chromium(playwright: Playwright) -> Browser:
    """This machine's Chromium, headless."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


def _is_written(field: Any) -> bool:
    is_text = isinstance(field, models.CharField | models.TextField)
    return bool(
        is_text
        and not field.choices
        and not field.primary_key
        and field.name not in NOT_WRITTEN
        and not field.name.endswith(("_hash", "_id", "_key", "_digest", "_pem", "_url", "_kind"))
    )


def _poison(organization_id: Any) -> int:
    """Puts the strings into every text that somebody may write; how many texts it changed."""
    turn, changed = 0, 0
    for model in [*tenant_models(), User, Organization]:
        fields = [f for f in model._meta.concrete_fields if _is_written(f)]
        for pk in list(model._base_manager.order_by("pk").values_list("pk", flat=True)[:60]):
            for field in fields:
                turn += 1
                fitting = [s for s in STRINGS if len(s) <= (field.max_length or 10_000)]
                if not fitting:
                    continue
                changed += _try_update(model, pk, field.name, fitting[turn % len(fitting)], turn)
    return changed


def _try_update(model: Any, pk: Any, name: str, text: str, turn: int) -> int:
    """1 where the row has the text now; rules of the database stay in force."""
    for value in (text, f"{turn}{text}"):
        try:
            with transaction.atomic():
                return int(model._base_manager.filter(pk=pk).update(**{name: value}))
        except DatabaseError:
            continue
    return 0


def _world(acme: Any, alice_member: Any) -> dict[str, str]:
    ids = furnish(acme, alice_member)
    with tenant(acme.id):
        for number, text in enumerate(STRINGS):
            state = factories.online() if number % 2 else None
            factories.device(acme.id, f"{text} {number}", state=state, hostname=text[:200])
        assert _poison(acme.id) > 200
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE devices_device SET inventory = jsonb_build_object('facts',"
                " jsonb_build_object(name, name)), tags = ARRAY[left(name, 60)]"
            )
    return ids


def _open(page: Page, url: str) -> list[str]:
    """Opens a page and lets its own scripts work; the addresses it links to."""
    page.goto(url, wait_until="load")
    page.wait_for_timeout(20)
    hrefs = page.eval_on_selector_all("a[href]", "all => all.map(a => a.getAttribute('href'))")
    return [urldefrag(urljoin(url, href)).url for href in hrefs]


def _shape(url: str) -> str:
    """The address with ids blotted out: a few of each kind are enough."""
    parts = urlsplit(url).path.split("/")
    return "/".join("<id>" if len(p) > 20 or p.isdigit() else p for p in parts)


def _crawl(page: Page, start: list[str], origin: str, shown: list[str]) -> list[str]:
    waiting, seen, shapes, opened = deque(start), set(start), dict[str, int](), list[str]()
    while waiting and len(opened) < MOST_PAGES:
        url = waiting.popleft()
        opened.append(url)
        links = _open(page, url)
        if RUN in page.inner_text("body"):
            shown.append(url)
        for link in links:
            path = urlsplit(link).path
            if link in seen or not link.startswith(origin) or path.startswith(NOT_OPENED):
                continue
            seen.add(link)
            shapes[_shape(link)] = shapes.get(_shape(link), 0) + 1
            if shapes[_shape(link)] <= 2:
                waiting.append(link)
    return opened


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.django_db(transaction=True)
def test_s55_no_text_of_anybody_runs(
    redis_url: str, acme: Any, alice_member: Any, tmp_path: Any
) -> None:
    """Given 30 hostile strings in every text that people, devices and agents write, when the pages
    that links lead to, forms, refusals and the admin are opened in Chromium, then no script of
    theirs runs, no page leaves the site, and the browser has nothing to refuse."""
    cookie = Client()
    User.objects.filter(id=alice_member.user_id).update(is_superuser=True)
    cookie.force_login(alice_member.user)
    ids = _world(acme, alice_member)
    ran: list[str] = []
    refused: list[str] = []
    shown: list[str] = []
    # The database is not touched while Playwright's event loop runs in this thread.
    with WebServer(tmp_path / "web") as server, sync_playwright() as playwright:
        context = _chromium(playwright).new_context(viewport={"width": 1280, "height": 900})
        context.add_cookies(
            [
                {
                    "name": "sessionid",
                    "value": cookie.cookies["sessionid"].value,
                    "url": server.url,
                }
            ]
        )
        context.expose_function("pwned", lambda: ran.append(page.url))
        context.expose_function("refused", lambda what: refused.append(what))
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: refused.append(str(error)))
        start = [
            *(f"/devices?q={quote(text)}" for text in STRINGS[::10]),
            *(f"/devices?filter={quote(text)}" for text in STRINGS[1::10]),
            f"/devices/{ids['device']}",
            f"/rollouts/{ids['rollout']}",
            f"/admin/devices/devicegroup/{ids['group']}/delete/",
            f"/admin/devices/device/{ids['device']}/history/",
            f"/nothing/{quote(STRINGS[5])}",
            *("/", "/audit", "/settings/", "/admin/"),
        ]
        _prove_that_it_would_be_seen(page, ran)
        opened = _crawl(page, [server.url + path for path in start], server.url, shown)
        assert all(url.startswith(server.url) for url in opened)
        _send_forms(page, server.url)
        assert urlsplit(page.url).netloc == urlsplit(server.url).netloc
        context.browser.close()
    assert ran == []
    assert refused == []
    assert len(shown) > len(opened) // 2  # the strings do stand in most of the pages, as text
    assert len(opened) >= min(MOST_PAGES, 36)


def _prove_that_it_would_be_seen(page: Page, ran: list[str]) -> None:
    """A page that forgets to escape is noticed."""
    page.set_content(STRINGS[5])
    page.wait_for_timeout(500)
    assert ran
    ran.clear()


def _send_forms(page: Page, origin: str) -> None:
    """What is written wrongly comes back in the form and its message."""
    page.goto(f"{origin}/enrollment-tokens")
    field = page.locator("form input[type=text]:visible").first
    if field.count():
        field.fill(STRINGS[7])
        field.press("Enter")
        page.wait_for_load_state("load")
    page.context.clear_cookies()
    page.goto(f"{origin}/accounts/login")
    page.locator("input[name=login]").fill(f"{STRINGS[5]}@example.test".replace(" ", ""))
    page.locator("input[name=login]").evaluate("input => { input.type = 'text' }")
    page.locator("input[type=password]").first.fill(STRINGS[0])
    page.locator("input[type=password]").first.press("Enter")
    page.wait_for_load_state("load")
