"""The installer that the platform serves by itself."""

import hashlib
import io
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.enrollment.selectors import get_enrollment_token
from apps.enrollment.services.tokens import create_enrollment_token
from apps.enrollment.ui import installer
from tests.factories import Cast


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    settings.EXTERNAL_URL = "https://fleet.example.com"
    installer._agent.cache_clear()


def script(client: Client, **query: str) -> str:
    response = client.get("/install.sh", query, REMOTE_ADDR="192.0.2.9")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/x-shellscript")
    return response.content.decode()


def test_the_script_names_the_platform_and_is_valid_shell(client: Client, alice: Actor) -> None:
    text = script(client)
    assert "https://fleet.example.com" in text
    assert "@" not in "".join(re.findall(r"@[A-Z_0-9]+@", text))
    subprocess.run(["sh", "-n"], input=text.encode(), check=True)


def test_the_agent_is_the_file_that_the_script_names(client: Client, alice: Actor) -> None:
    text = script(client)
    name = re.search(r"^AGENT_FILE='?([^'\n]+)", text, re.MULTILINE)[1]  # type: ignore[index]
    digest = re.search(r"^AGENT_SHA256='?([0-9a-f]{64})", text, re.MULTILINE)[1]  # type: ignore[index]
    response = client.get(f"/install/{name}")
    content = response.content
    assert hashlib.sha256(content).hexdigest() == digest
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert "fleetd_agent/cli.py" in names
    assert client.get("/install/other.whl").status_code == 404


def test_fetching_it_for_a_token_is_noted(client: Client, acme: Cast, erin: Actor) -> None:
    with tenant(acme.id):
        made = create_enrollment_token(erin, name="line 1")
    script(client, token_id=str(made.token.id))
    with tenant(acme.id):
        token = get_enrollment_token(erin, made.token.id)
    assert token.installer_fetched_at is not None
    assert token.installer_address == "192.0.2.9"


@pytest.mark.parametrize(
    "token_id", ["", "nonsense", "019bd000-0000-7000-8000-000000000000", "\x00"]
)
def test_an_unknown_token_changes_nothing_about_the_answer(
    client: Client, alice: Actor, token_id: str
) -> None:
    assert script(client, token_id=token_id) == script(client)


def test_the_dry_run_is_asked_for_in_the_address(client: Client, alice: Actor) -> None:
    assert "DRY_RUN:-1" in script(client, **{"dry-run": "1"})
    assert "DRY_RUN:-}" in script(client)
