"""A person sets up an authenticator app and a passkey in a browser, and signs in with each."""

import base64
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import CDPSession, Page

from tests.e2e.conftest import EMAIL, ORGANIZATION, PASSWORD
from tests.platform.runner import FleetdUp


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory):
    """An empty platform under a name: browsers offer passkeys on no bare address."""
    data = tmp_path_factory.mktemp("e2e") / "var"
    running = FleetdUp(data)
    running.environment["FLEETD_EXTERNAL_URL"] = running.url.replace("127.0.0.1", "localhost")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def authenticator(page: Page) -> CDPSession:
    """Chromium's virtual authenticator: a device with a finger that always agrees."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    return session


def code_of(secret: str) -> str:
    """What an app shows for this key."""
    return format_hotp_value(hotp_value(secret.replace(" ", ""), int(time.time()) // 30))


def sign_out(page: Page, site: str) -> None:
    """By the form of the sign-out page."""
    page.goto(f"{site}/accounts/logout")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/accounts/login"))


def give_password(page: Page) -> None:
    """The first step."""
    page.fill("#id_login", EMAIL)
    page.fill("#id_password", PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def set_up_platform(fleet: FleetdUp, page: Page) -> str:
    """The first owner signs in; answers the site's address under its name."""
    address = re.search(r"http://\S+/setup\?code=\w+", fleet.output)[0]
    site = f"http://localhost:{urlsplit(address).port}"
    page.goto(address)
    page.fill("#email", EMAIL)
    page.fill("#password", PASSWORD)
    page.fill("#organization", ORGANIZATION)
    page.get_by_role("button", name="Make the account").click()
    page.wait_for_url(f"{site}/")
    return site


def set_up_app(page: Page, site: str) -> tuple[str, list[str]]:
    """Turns the authenticator app on: its key, and the recovery codes."""
    page.goto(f"{site}/accounts/app")
    page.get_by_text("The picture cannot be scanned").click()
    secret = page.locator("#totp-secret").inner_text()
    base64.b32decode(secret.replace(" ", ""))
    page.fill("#id_code", code_of(secret))
    page.get_by_role("button", name="Turn it on").click()
    page.wait_for_url(re.compile("recovery-codes"))
    return secret, page.locator(".codes li").all_inner_texts()


def sign_in_with_code(page: Page, site: str, code: Callable[[], str]) -> None:
    """Password, then a code of the app or a recovery code."""
    sign_out(page, site)
    give_password(page)
    page.wait_for_url(re.compile("second-step"))
    page.fill("#id_code", code())
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(f"{site}/")


def next_code(page: Page, secret: str, used: str) -> str:
    """The first code after one that was used up: a code works once."""
    deadline = time.monotonic() + 40
    while (code := code_of(secret)) == used:
        assert time.monotonic() < deadline
        page.wait_for_timeout(500)
    return code


def add_passkey(page: Page, site: str) -> None:
    page.goto(f"{site}/accounts/passkeys/add")
    page.fill("#id_name", "Laptop")
    page.get_by_role("button", name="Make the passkey").click()
    page.wait_for_url(f"{site}/accounts/")
    assert page.get_by_text("Laptop").first.is_visible()


def test_an_app_and_a_passkey_are_set_up_and_used(
    fleet: FleetdUp, page: Page, authenticator: CDPSession
) -> None:
    site = set_up_platform(fleet, page)
    secret, codes = set_up_app(page, site)
    used = code_of(secret)
    assert len(codes) == 10
    sign_in_with_code(page, site, lambda: codes[0])
    add_passkey(page, site)

    sign_out(page, site)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{site}/")

    sign_out(page, site)
    give_password(page)
    page.wait_for_url(re.compile("second-step"))
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{site}/")

    sign_in_with_code(page, site, lambda: next_code(page, secret, used))

    page.goto(f"{site}/accounts/")
    page.get_by_role("button", name="Remove…").first.click()
    page.get_by_role("button", name="Remove", exact=True).first.click()
    page.wait_for_url(f"{site}/accounts/")
