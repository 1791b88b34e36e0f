"""`fleetd-agent doctor`: finds out, step by step, why a device cannot work; each with its fix."""

import json
import os
import shutil
import socket
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fleetd_agent.downloads import build_opener
from fleetd_agent.identity import Identity, IdentityStore, is_expired
from fleetd_agent.places import Configuration, Places

TIMEOUT_SECONDS = 5.0
LEAST_FREE_BYTES = 100 * 1024 * 1024
LARGEST_SKEW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do about it."""

    name: str
    is_good: bool
    found: str
    fix: str = ""


@dataclass(eq=False)
class Failed(Exception):
    """A check went wrong."""

    found: str
    fix: str


def examine(places: Places, configuration: Configuration, server: str | None) -> list[Finding]:
    """All checks, in the order in which things depend on each other."""
    return list(_findings(places, configuration, server))


def _findings(
    places: Places, configuration: Configuration, server: str | None
) -> Iterator[Finding]:
    yield _run("state directory", lambda: _check_state(places))
    yield _run("disk space", lambda: _check_disk(places))
    try:
        identity = IdentityStore(places.state).load()
    except (OSError, ValueError):
        identity = None
    yield _run("identity", lambda: _check_identity(identity))
    server = server or (identity.server if identity else None)
    if not server:
        fix = "give --server URL"
        yield Finding("platform", is_good=False, found="no address known", fix=fix)
        return
    parts = urllib.parse.urlsplit(server)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    yield _run("DNS", lambda: _check_dns(host))
    yield _run("web port", lambda: _check_port(host, port))
    yield _run("web answer", lambda: _check_web(server, configuration))
    yield _run("clock", lambda: _check_clock(server, configuration))
    if identity:
        yield from _agent_port(identity)


def _agent_port(identity: Identity) -> Iterator[Finding]:
    host, _, port = identity.agent_address.rpartition(":")
    host = host.strip("[]")
    yield _run("agent port", lambda: _check_port(host, int(port)))
    yield _run("agent TLS", lambda: _check_tls(identity, host, int(port)))


def _run(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, is_good=True, found=check())
    except Failed as failed:
        return Finding(name, is_good=False, found=failed.found, fix=failed.fix)
    except (OSError, ValueError) as error:
        return Finding(name, is_good=False, found=str(error))


def _check_state(places: Places) -> str:
    fix = f"sudo chown -R $(id -un) {places.state}, or set FLEETD_AGENT_STATE_DIR"
    if not places.state.is_dir():
        raise Failed(f"{places.state} does not exist", "run fleetd-agent enroll")
    if not os.access(places.state, os.W_OK | os.X_OK):
        raise Failed(f"{places.state} is not writable", fix)
    with tempfile.NamedTemporaryFile(dir=places.state):
        pass
    for name in ("identity.json", "enrollment.json"):
        path = places.state / name
        if path.exists() and path.stat().st_mode & 0o077:
            raise Failed(f"{path} can be read by others", f"chmod 600 {path}")
    return f"{places.state} is writable and its keys are private"


def _check_disk(places: Places) -> str:
    folder = places.state if places.state.exists() else places.state.parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise Failed(f"{free >> 20} MiB free", f"make room on the file system of {folder}")
    return f"{free >> 20} MiB free"


def _check_identity(identity: Identity | None) -> str:
    if identity is None:
        raise Failed("not enrolled", "run fleetd-agent enroll --server URL with a token")
    if is_expired(identity, datetime.now(UTC)):
        found = f"the certificate ended at {identity.not_after:%Y-%m-%d %H:%M} UTC"
        raise Failed(found, "check the clock, or run fleetd-agent enroll again")
    return f"device {identity.device_id}, certificate until {identity.not_after:%Y-%m-%d}"


def _check_dns(host: str) -> str:
    try:
        answers = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        raise Failed(f"{host}: {error.strerror}", "check /etc/resolv.conf and the name") from error
    return f"{host} is {', '.join(sorted({str(a[4][0]) for a in answers}))}"


def _check_port(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), TIMEOUT_SECONDS):
            return f"{host}:{port} is open"
    except OSError as error:
        fix = f"open TCP {port} to {host} in firewalls; is the platform running?"
        raise Failed(f"{host}:{port}: {error.strerror or error}", fix) from error


def _open(server: str, configuration: Configuration) -> tuple[int, str]:
    request = urllib.request.Request(f"{server.rstrip('/')}/healthz")  # noqa: S310 - see enroll
    opener = build_opener(configuration.ca_file)
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return int(response.status), response.headers.get("Date", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Date", "")


def _check_web(server: str, configuration: Configuration) -> str:
    try:
        status, _ = _open(server, configuration)
    except ssl.SSLError as error:
        fix = "set FLEETD_CA_FILE to the platform's CA, or fix its certificate"
        raise Failed(f"TLS: {error}", fix) from error
    except urllib.error.URLError as error:
        fix = "check HTTPS_PROXY and NO_PROXY; for a private CA set FLEETD_CA_FILE"
        raise Failed(f"{server}: {error.reason}", fix) from error
    if status >= 400:
        raise Failed(f"/healthz answered {status}", "look at the platform's own logs")
    return f"{server}/healthz answered {status}"


def _check_clock(server: str, configuration: Configuration) -> str:
    try:
        _, date = _open(server, configuration)
    except OSError as error:
        raise Failed("not known: the platform does not answer", "see above") from error
    if not date:
        raise Failed("the platform sent no Date", "a proxy may remove it; compare clocks by hand")
    skew = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    if abs(skew) > LARGEST_SKEW_SECONDS:
        raise Failed(f"{skew:+.0f} s against the platform", "enable NTP: timedatectl set-ntp true")
    return f"{skew:+.0f} s against the platform"


def _check_tls(identity: Identity, host: str, port: int) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=identity.root_pem)
    context.set_alpn_protocols(["h2"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as both:
        both.write(identity.key_pem + identity.chain_pem)
        both.flush()
        context.load_cert_chain(both.name)
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            if secure.selected_alpn_protocol() != "h2":
                fix = "a proxy in between must pass TLS through"
                raise Failed("something on the way does not speak HTTP/2", fix)
            return f"{secure.version()}, server certificate trusted, HTTP/2"
    except ssl.SSLCertVerificationError as error:
        fix = "a proxy that opens TLS is in between, or the platform has a new CA: enroll again"
        raise Failed(f"server certificate: {error.verify_message}", fix) from error


def render(findings: list[Finding], *, as_json: bool) -> str:
    """For people, or for programs."""
    if as_json:
        return json.dumps([asdict(finding) for finding in findings], indent=2) + "\n"
    lines = []
    for finding in findings:
        lines.append(f"{'ok  ' if finding.is_good else 'FAIL'} {finding.name}: {finding.found}")
        if not finding.is_good and finding.fix:
            lines.append(f"     fix: {finding.fix}")
    return "\n".join(lines) + "\n"
