"""Settings: typed, complete, documented, and strict about secrets."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from fleetd.settings.databases import celery_broker_url, postgres_settings
from fleetd.settings.env import Address, Environment, SettingError
from fleetd.settings.reference import reference
from fleetd.settings.registry import NAMES_OF_CLIENTS, SETTINGS
from fleetd.settings.secrets import database_weakness, weak_secrets, weakness

ROOT = Path(__file__).resolve().parents[2]
STRONG = secrets.token_urlsafe(32)


def environment(**values: str) -> Environment:
    return Environment(SETTINGS, values, names_of_clients=NAMES_OF_CLIENTS)


def test_the_reference_page_is_current():
    assert (ROOT / "docs/reference/configuration.md").read_text() == reference()


def test_every_setting_is_read_somewhere():
    sources = [
        path.read_text()
        for path in (ROOT / "fleetd").rglob("*.py")
        if path.name != "registry.py" and "pb" not in path.parts
    ]
    text = "\n".join(sources)
    listeners = {f"FLEETD_{n}_LISTEN" for n in ("WEB", "GRPC", "AGENT")}
    unread = [s.name for s in SETTINGS if f'"{s.name}"' not in text and s.name not in listeners]
    assert unread == []


def test_an_unknown_name_is_reported_with_the_nearest_one():
    found = environment(FLEETD_WEB_LISTNE="x", HOME="/", FLEETD_SERVER="u").warnings()
    assert found == [
        "FLEETD_WEB_LISTNE is not a setting of fleetd; did you mean FLEETD_WEB_LISTEN?"
    ]


def test_a_value_may_come_from_a_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(f"{STRONG}\n")
    assert environment(FLEETD_SECRET_KEY_FILE=str(path)).text("FLEETD_SECRET_KEY") == STRONG


def test_a_value_and_its_file_together_are_refused(tmp_path):
    both = environment(FLEETD_SECRET_KEY=STRONG, FLEETD_SECRET_KEY_FILE=str(tmp_path / "key"))
    with pytest.raises(SettingError, match="choose one"):
        both.raw("FLEETD_SECRET_KEY")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingError, match="FLEETD_SECRET_KEY_FILE: cannot read .*No such file"):
        environment(FLEETD_SECRET_KEY_FILE=str(tmp_path / "none")).raw("FLEETD_SECRET_KEY")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:8080", Address("::1", 8080)),
        ("0.0.0.0:1", Address("0.0.0.0", 1)),
    ],
)
def test_addresses_are_read(text, expected):
    address = environment(FLEETD_WEB_LISTEN=text).address("FLEETD_WEB_LISTEN")
    assert address == expected
    assert str(address) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLEETD_WEB_LISTEN", "8080"),
        ("FLEETD_WEB_LISTEN", "localhost:http"),
        ("FLEETD_WEB_LISTEN", "localhost:70000"),
        ("FLEETD_TRUSTED_PROXIES", "-1"),
        ("FLEETD_TRUSTED_PROXIES", "1.5"),
        ("FLEETD_TRUSTED_PROXIES", "nan"),
        ("FLEETD_EDITION", "enterprise"),
        ("FLEETD_EXTERNAL_URL", "fleet.example.com"),
        ("FLEETD_LOG_LEVEL", "loud"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(name, value):
    problems = environment(**{name: value}).validate()
    assert len(problems) == 1
    assert name in problems[0]


@pytest.mark.parametrize(
    "secret",
    ["", "short", "a" * 64, "changeme-" + STRONG, "django-insecure-" + STRONG],
    # xdist wants the same names in every process.
    ids=["empty", "short", "one letter", "change me", "insecure"],
)
def test_weak_secrets_are_found(secret):
    assert weakness(secret)


def test_a_generated_secret_is_strong_enough():
    assert weakness(STRONG) is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://fleetd_app@db/fleetd",
        "postgresql://fleetd_app:postgres@db/fleetd",
        "postgresql://fleetd_app:short-but-random-7f3@db/fleetd",
    ],
)
def test_weak_database_passwords_are_refused_without_being_repeated(url):
    problems = weak_secrets(environment(DATABASE_URL=url))
    assert len(problems) == 1
    assert "the password in DATABASE_URL" in problems[0]
    assert "7f3" not in problems[0]
    assert weak_secrets(environment(DATABASE_URL=url, FLEETD_MODE="development")) == []


def test_a_socket_without_a_password_is_left_to_the_operating_system():
    assert database_weakness("postgresql://fleetd_app@/fleetd?host=/run/postgresql") is None
    assert database_weakness(f"postgresql://fleetd_app:{STRONG}@db/fleetd") is None


def test_a_weak_key_stops_every_process_of_production(tmp_path):
    values = {
        "PATH": os.environ["PATH"],
        "FLEETD_DATA_DIR": str(tmp_path),
        "FLEETD_SECRET_KEY": "too-short-secret",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "manage.py", "check"]
    refused = subprocess.run(command, cwd=ROOT, env=values, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "FLEETD_SECRET_KEY is shorter than 32 bytes" in refused.stderr
    assert "too-short-secret" not in refused.stderr


def test_a_database_url_is_read_with_quoted_passwords_and_sockets():
    read = postgres_settings(
        "postgresql://app:p%40ss@/fleetd?host=/tmp/x&sslmode=require", pool_size=3
    )
    assert (read["USER"], read["PASSWORD"], read["HOST"]) == ("app", "p@ss", "/tmp/x")
    assert read["OPTIONS"]["sslmode"] == "require"
    assert read["OPTIONS"]["pool"]["max_size"] == 3


def test_celery_gets_its_own_spelling_of_unix_sockets():
    assert celery_broker_url("unix:///tmp/v.sock?db=1") == "redis+socket:///tmp/v.sock?db=1"
    assert celery_broker_url("rediss://host/0") == "rediss://host/0"
