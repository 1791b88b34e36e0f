"""`fleetctl login`, `logout` and `whoami`: OAuth's device flow (RFC 8628)."""

import argparse
import os
import platform
import sys
import time
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from fleetctl import profiles
from fleetctl.client import Client, post_form
from fleetctl.errors import CommandError, NeedsSignIn, Refused, UsageError
from fleetctl.output import show_one
from fleetctl.profiles import Profile

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_BY = 5
_ENDS = {
    "access_denied": "the sign-in was denied",
    "expired_token": "the code has expired; begin again",
}


def add_parsers(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the three commands."""
    login = commands.add_parser(
        "login",
        help="sign in with a browser, here or elsewhere",
        parents=[common],
        epilog="examples:\n  fleetctl login --server https://fleet.example.com\n"
        "  fleetctl login --token-stdin < key.txt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    login.add_argument(
        "--token-stdin", action="store_true", help="read an API key from standard input instead"
    )
    login.add_argument("--no-browser", action="store_true", help="print the address only")
    login.set_defaults(run=_login)
    logout = commands.add_parser("logout", help="end the sign-in", parents=[common])
    logout.set_defaults(run=_logout)
    whoami = commands.add_parser("whoami", help="who is signed in, and where", parents=[common])
    whoami.set_defaults(run=_whoami)


def connect(options: argparse.Namespace) -> Client:
    """A client for this call: FLEETD_TOKEN before everything, else the profile's sign-in."""
    organization, ca_file = os.environ.get("FLEETD_ORG", ""), os.environ.get("FLEETD_CA_FILE", "")
    token = os.environ.get("FLEETD_TOKEN", "")
    if token:
        return Client(_server(options), token, organization, ca_file)
    profile = profiles.load().find(name=options.profile, server=_given_server(options))
    if profile is None and not _given_server(options):
        raise NeedsSignIn("nobody is signed in here: fleetctl login --server URL")
    if profile is None:
        return Client(_server(options), "", organization, ca_file)
    return Client(profile.server, profiles.token_of(profile, refresh), organization, ca_file)


def refresh(profile: Profile) -> Profile:
    """The profile with new tokens. Raises `NeedsSignIn` where the sign-in has ended."""
    if not profile.refresh_token:
        raise NeedsSignIn(f"you are not signed in to {profile.server}: fleetctl login")
    form = {"grant_type": "refresh_token", "refresh_token": profile.refresh_token}
    status, answer = post_form(profile.server, "oauth/token", form, _ca_file())
    if status == 200:
        return _with_tokens(profile, answer)
    if answer.get("error") == "invalid_grant":
        raise NeedsSignIn(f"your sign-in to {profile.server} has ended: fleetctl login")
    raise Refused(status, str(answer.get("error_description") or f"the server answered {status}"))


def _login(options: argparse.Namespace) -> int:
    server = profiles.canonical(_server(options))
    profile = Profile(options.profile or profiles.name_of(server), server)
    if options.token_stdin:
        profile = replace(profile, api_key=_read_key())
    else:
        _warn_if_plain(server)
        profile = _with_tokens(profile, _ask_for_tokens(server, options))
    me = _me(profile)  # before it is kept: a key that is no good is not worth keeping
    before = profiles.load().profiles.get(profile.name)
    profiles.store(profile)
    if before is not None and before.refresh_token:
        with suppress(CommandError):  # the old sign-in ends by itself in a month at the latest
            post_form(server, "oauth/revoke", {"token": before.refresh_token}, _ca_file())
    sys.stderr.write(f"Signed in to {server} as {me['email']}, {me['organization_slug']}.\n")
    return 0


def _logout(options: argparse.Namespace) -> int:
    profile = profiles.load().find(name=options.profile, server=_given_server(options))
    if profile is None:
        raise UsageError("you are not signed in")
    if profile.refresh_token:
        form = {"token": profile.refresh_token}
        status, _ = post_form(profile.server, "oauth/revoke", form, _ca_file())
        if status != 200:
            raise Refused(status, "the server did not end the sign-in; try again")
    profiles.remove(profile.name)
    sys.stderr.write(f"Signed out of {profile.server}.\n")
    return 0


def _whoami(options: argparse.Namespace) -> int:
    client = connect(options)
    me = client.get("auth/me", fields="email,name,organization_slug,role")
    show_one({**me, "server": client.server}, options.output)
    return 0


def _ask_for_tokens(server: str, options: argparse.Namespace) -> Mapping[str, Any]:
    """Shows the code and waits for somebody's decision."""
    form = {"client_id": f"fleetctl on {platform.node() or 'an unnamed machine'}"}
    status, begun = post_form(server, "oauth/device_authorization", form, _ca_file())
    if status != 200:
        text = begun.get("error_description") or f"the server answered {status}"
        raise Refused(status, str(text))
    sys.stderr.write(
        f"Open {begun['verification_uri']} and enter the code {begun['user_code']}\n"
        f"or open {begun['verification_uri_complete']}\n"
    )
    if _has_browser() and not options.no_browser:
        webbrowser.open(str(begun["verification_uri_complete"]))
    return _poll(server, begun)


def _poll(server: str, begun: Mapping[str, Any]) -> Mapping[str, Any]:
    interval = float(begun.get("interval", 5))
    ends = time.monotonic() + float(begun["expires_in"])
    form = {"grant_type": DEVICE_GRANT, "device_code": str(begun["device_code"])}
    while time.monotonic() < ends:
        time.sleep(interval)
        status, answer = post_form(server, "oauth/token", form, _ca_file())
        if status == 200:
            return answer
        error = str(answer.get("error"))
        if error == "slow_down":
            interval += SLOWER_BY
        elif error != "authorization_pending":
            text = _ENDS.get(error) or str(answer.get("error_description") or error)
            raise Refused(403 if error == "access_denied" else 401, text)
    raise Refused(401, _ENDS["expired_token"])


def _me(profile: Profile) -> Mapping[str, Any]:
    token = profile.api_key or profile.access_token
    client = Client(profile.server, token, os.environ.get("FLEETD_ORG", ""), _ca_file())
    me: Mapping[str, Any] = client.get("auth/me")
    return me


def _with_tokens(profile: Profile, answer: Mapping[str, Any]) -> Profile:
    try:
        return replace(
            profile,
            access_token=str(answer["access_token"]),
            refresh_token=str(answer["refresh_token"]),
            expires_at=time.time() + float(answer["expires_in"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError("the server's answer holds no tokens") from error


def _read_key() -> str:
    key = sys.stdin.readline().strip()
    if not key.startswith("fld_pat_"):
        raise UsageError("standard input holds no API key (fld_pat_…)")
    return key


def _warn_if_plain(server: str) -> None:
    parts = urlsplit(server)
    is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and not is_here:
        sys.stderr.write("warning: without https others on the way can read your tokens\n")


def _has_browser() -> bool:
    """Whether a browser can be opened here: a screen, and somebody in front of it."""
    has_screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return sys.stdin.isatty() and (has_screen or sys.platform == "darwin")


def _given_server(options: argparse.Namespace) -> str:
    """The server that the call names, by flag or environment; empty where it names none."""
    return str(options.server or os.environ.get("FLEETD_SERVER") or "")


def _server(options: argparse.Namespace) -> str:
    from fleetctl.cli import default_server

    return _given_server(options) or default_server()


def _ca_file() -> str:
    return os.environ.get("FLEETD_CA_FILE", "")
