"""S86: secrets that go through the platform leave no trace outside the person's own hands."""

import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis import Redis

from fleetd.settings.layout import read_private
from tests.platform.runner import ROOT, FleetdUp, wait_for

EMAIL = "canary@example.test"
ENROLL = "/internal.agent.v1.EnrollmentService/Enroll"


class Canaries:
    """The secrets that were used, by what they are; and every answer that came."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.answers: list[str] = []

    def new(self, kind: str) -> str:
        """A secret of ours that looks like nothing else."""
        self.secrets[kind] = f"canary-{secrets.token_hex(12)}"
        return self.secrets[kind]

    def given(self, kind: str, secret: str) -> str:
        """A secret that the platform has made."""
        assert len(secret) > 20
        self.secrets[kind] = secret
        return secret

    def found_in(self, text: str) -> list[str]:
        """The kinds of those that stand in a text."""
        return [kind for kind, secret in self.secrets.items() if secret in text]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[tuple[FleetdUp, Canaries]]:
    """A platform whose first owner has a canary for a password."""
    canaries = Canaries()
    path = tmp_path / "password"
    path.write_text(canaries.new("password"))
    running = FleetdUp(
        tmp_path / "var",
        FLEETD_BOOTSTRAP_EMAIL=EMAIL,
        FLEETD_BOOTSTRAP_PASSWORD_FILE=str(path),
        FLEETD_BOOTSTRAP_ORG="Canary",
        FLEETD_LOG_LEVEL="DEBUG",
    ).start()
    yield running, canaries
    running.stop()


def _superuser(running: FleetdUp) -> psycopg.Connection:
    url = read_private(running.layout.database_url("owner"))
    return psycopg.connect(
        host=re.search(r"host=([^&]+)", url)[1].replace("%2F", "/"),
        user="postgres",
        password=read_private(running.layout.secrets / "database-superuser-password"),
        dbname="fleetd",
        autocommit=True,
    )


def _csr() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "canary")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _use_every_flow(web: httpx.Client, canaries: Canaries) -> None:
    """Signs in, makes keys and tokens, enrolls, and does each of it wrongly too."""

    def call(method: str, path: str, **more: Any) -> Any:
        answer = web.request(method, path, **more)
        canaries.answers.append(answer.text if answer.status_code >= 400 else "")
        return answer

    login = {"email": EMAIL, "password": canaries.secrets["password"]}
    tokens = call("POST", "/api/v1/auth/login", json=login).json()
    access = canaries.given("access token", tokens["access_token"])
    refresh = canaries.given("refresh token", tokens["refresh_token"])
    bearer = {"Authorization": f"Bearer {access}"}
    fresh = call("POST", "/api/v1/auth/refresh", json={"refresh_token": refresh}).json()
    canaries.given("second refresh token", fresh["refresh_token"])
    made = call("POST", "/api/v1/api-keys", json={"name": "k"}, headers=bearer)
    key = canaries.given("API key", _secret_in(made.json(), "fld_pat_"))
    made = call("POST", "/api/v1/enrollment-tokens", json={"name": "t"}, headers=bearer)
    token = canaries.given("enrollment token", _secret_in(made.json(), "fld_enr_"))
    with_key = {"Authorization": f"Bearer {key}"}
    assert call("GET", "/api/v1/devices", headers=with_key).status_code == 200
    device = {"token": token, "csrPem": _csr(), "hardwareId": "canary-1"}
    assert call("POST", ENROLL, json=device).status_code == 200
    wrong = {"email": EMAIL, "password": canaries.new("wrong password")}
    assert call("POST", "/api/v1/auth/login", json=wrong).status_code == 401
    call("POST", ENROLL, json={**device, "token": canaries.new("wrong token")})
    call("POST", "/api/v1/auth/refresh", json={"refresh_token": canaries.new("wrong refresh")})
    call("GET", "/api/v1/devices", headers={"X-API-Key": canaries.new("wrong key")})
    call("GET", "/api/v1/devices", headers={"Cookie": f"sessionid={canaries.new('cookie')}"})
    call("POST", "/api/v1/auth/login", content=b'{"password": "%s' % canaries.new("cut").encode())
    call("GET", f"/devices?password={canaries.new('query')}")
    form = {"login": EMAIL, "password": canaries.new("form password")}
    call("POST", "/accounts/login", data=form)


def _force_bugs(running: FleetdUp, web: httpx.Client, canaries: Canaries) -> None:
    """Takes tables away under the platform, so that sign-in, keys and enrollment break."""
    calls = {
        "accounts_api_key": ("GET", "/api/v1/devices", None),
        "accounts_user": ("POST", "/api/v1/auth/login", {"email": EMAIL, "password": "password"}),
        "enrollment_token": ("POST", ENROLL, None),
    }
    broken = 0
    with _superuser(running) as database:
        names = {
            re.sub(r"[^a-z]", "", name): name
            for (name,) in database.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
        }
        for short, (method, path, body) in calls.items():
            table = names[re.sub(r"[^a-z]", "", short)]
            database.execute(f'ALTER TABLE "{table}" RENAME TO hidden'.encode())
            if body:
                body["password"] = canaries.secrets["password"]
            elif path == ENROLL:
                body = {
                    "token": canaries.secrets["enrollment token"],
                    "csrPem": _csr(),
                    "hardwareId": "canary-2",
                }
            key = {"Authorization": f"Bearer {canaries.secrets['API key']}"}
            headers = key if method == "GET" else {}
            wait_for(  # who was known a moment ago is remembered for five seconds
                lambda m=method, p=path, b=body, h=headers: (
                    _note(web.request(m, p, json=b, headers=h), canaries) >= 500
                ),
                15,
                f"a failure without {table}",
            )
            broken += 1
            database.execute(f'ALTER TABLE hidden RENAME TO "{table}"'.encode())
    assert broken == len(calls)


def _note(answer: httpx.Response, canaries: Canaries) -> int:
    if answer.status_code >= 400:
        canaries.answers.append(answer.text)
        assert "Traceback" not in answer.text
        assert "relation" not in answer.text
    return answer.status_code


def _secret_in(document: dict[str, Any], prefix: str) -> str:
    texts = [v for v in document.values() if isinstance(v, str) and v.startswith(prefix)]
    return max(texts, key=len)  # the shortest is what is shown of it later


def _kept_in_valkey(running: FleetdUp) -> str:
    client = Redis.from_url(read_private(running.layout.redis_url))
    texts = []
    for name in client.scan_iter():
        kind = client.type(name)
        read = {
            b"string": client.get,
            b"list": lambda n: client.lrange(n, 0, -1),
            b"hash": client.hgetall,
            b"zset": lambda n: client.zrange(n, 0, -1),
            b"set": client.smembers,
            b"stream": client.xrange,
        }[kind]
        texts.append(f"{name!r} {read(name)!r}")
    return "\n".join(texts)


def _kept_in_the_database(running: FleetdUp) -> str:
    with _superuser(running) as database:
        names = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return "\n".join(
            str(row)
            for (name,) in names.fetchall()
            for row in database.execute(f'SELECT t::text FROM "{name}" t'.encode()).fetchall()
        )


def test_s86_no_secret_is_found_afterwards(installation: tuple[FleetdUp, Canaries]) -> None:
    """Given sign-in, refresh, keys and enrollment with canary secrets, right, wrong and broken by
    bugs, when answers, logs, console, command lines, Valkey and the database are searched, then
    none of the secrets is found."""
    running, canaries = installation
    with httpx.Client(base_url=running.url, timeout=30) as web:
        _use_every_flow(web, canaries)
        _force_bugs(running, web, canaries)
    assert len(canaries.secrets) > 10
    lines = "\n".join(" ".join(process.cmdline()) for process in running.processes())
    places = {
        "answers": "\n".join(canaries.answers),
        "console": running.output,
        "command lines": lines,
        "Valkey": _kept_in_valkey(running),
        "database": _kept_in_the_database(running),
        **{path.name: path.read_text() for path in running.layout.logs.iterdir()},
    }
    assert len(places) > 7
    found = {place: kinds for place, text in places.items() if (kinds := canaries.found_in(text))}
    assert found == {}
    # The bugs did leave their trace.
    assert any("UndefinedTable" in text for text in places.values())


def test_s86_the_repository_holds_no_key() -> None:
    """Given everything that was ever committed, when it is searched for private keys, then there
    is none."""
    history = subprocess.run(
        ["git", "log", "--all", "--oneline", "-G", r"^-----BEGIN [A-Z ]*PRIVATE KEY-----$"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if history.returncode:
        pytest.skip("this is no clone: there is no history")
    assert history.stdout == ""
