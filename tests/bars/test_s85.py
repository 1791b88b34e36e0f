"""S85: a public installation does not start with secrets that are missing, weak or everybody's."""

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.enrollment.services import authority
from fleetd.settings.env import Environment
from fleetd.settings.layout import DataLayout
from fleetd.settings.registry import NAMES_OF_CLIENTS, SETTINGS
from fleetd.settings.sealing_keys import KeyRing, new_key, write_keys
from fleetd.settings.secrets import SAMPLES, weak_secrets
from fleetd.settings.startup import missing_secrets
from fleetd.supervisor import container_secrets
from fleetd.supervisor.platform import Platform
from tests.platform.runner import ROOT

STRONG = secrets.token_urlsafe(48)
STRONG_KEYS = write_keys((new_key(),))
STRONG_URL = f"postgresql://fleetd_app:{STRONG}@db/fleetd"
WEAK = {
    "short": "aB3-_xYz9" * 3,
    "repeated": "aB3" * 20,
    **{f"sample {sample}": f"{sample}-0123456789-abcdefghijklmnop" for sample in SAMPLES},
}
WEAK_KEYS = {
    "no key": "x",
    "half a key": "k:" + base64.b64encode(os.urandom(16)).decode(),
    "zeros": "k:" + base64.b64encode(bytes(32)).decode(),
    "a sample": "k:" + base64.b64encode(b"changeme" * 4).decode(),
}


def _complaints(**changes: str) -> list[str]:
    values = {
        "FLEETD_SECRET_KEY": STRONG,
        "FLEETD_ENCRYPTION_KEYS": STRONG_KEYS,
        "DATABASE_URL": STRONG_URL,
        **changes,
    }
    return weak_secrets(Environment(SETTINGS, values, names_of_clients=NAMES_OF_CLIENTS))


@pytest.mark.parametrize("kind", WEAK)
def test_s85_a_weak_secret_is_refused(kind: str) -> None:
    """Given production, when the secret key or the database password is short, repeated or of a
    sample file, then it is refused by name and never repeated."""
    weak = WEAK[kind]
    urls = {"DATABASE_URL": f"postgresql://fleetd_app:{weak}@db/fleetd"}
    for changes in ({"FLEETD_SECRET_KEY": weak}, urls):
        (complaint,) = _complaints(**changes)
        assert next(iter(changes)) in complaint
        assert weak not in complaint


@pytest.mark.parametrize("kind", WEAK_KEYS)
def test_s85_a_weak_encryption_key_is_refused(kind: str) -> None:
    """Given production, when an encryption key is missing, short or not random, then the same."""
    (complaint,) = _complaints(FLEETD_ENCRYPTION_KEYS=WEAK_KEYS[kind])
    assert "FLEETD_ENCRYPTION_KEYS" in complaint
    assert WEAK_KEYS[kind].partition(":")[2] == "" or WEAK_KEYS[kind][2:] not in complaint


def test_s85_strong_secrets_are_fine() -> None:
    """Given production, when all secrets are strong, then nothing is said."""
    assert _complaints() == []


def test_s85_a_database_without_a_password_is_refused() -> None:
    """Given production, when the database URL has no password, then it is refused."""
    (complaint,) = _complaints(DATABASE_URL="postgresql://fleetd_app@db/fleetd")
    assert complaint.startswith("the password in DATABASE_URL is missing")


def test_s85_a_process_that_serves_names_everything_that_is_missing() -> None:
    """Given nothing at all, when a process would serve, then each missing secret is named."""
    nothing = SimpleNamespace(SECRET_KEY="", ENCRYPTION_KEYS=KeyRing(), IS_DATABASE_KNOWN=False)
    found = " ".join(missing_secrets(nothing))
    for name in ("FLEETD_SECRET_KEY", "FLEETD_ENCRYPTION_KEYS", "DATABASE_URL"):
        assert f"{name} is missing" in found


@pytest.mark.parametrize(
    "command",
    [
        ("-c", "import fleetd.asgi"),
        ("-m", "fleetd.rpc"),
        ("-m", "celery", "-A", "fleetd", "worker"),
    ],
    ids=["web", "gateway", "worker"],
)
def test_s85_every_server_process_refuses_to_start(command: tuple[str, ...], tmp_path: Path):
    """Given production settings without secrets, when web, gateway or worker start, then they end
    with an error that says what is missing."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLEETD_", "DJANGO_"))}
    ended = subprocess.run(
        [sys.executable, *command],
        env=kept | {"FLEETD_DATA_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'agent'}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode != 0
    assert "FLEETD_SECRET_KEY is missing" in ended.stderr
    assert "FLEETD_ENCRYPTION_KEYS is missing" in ended.stderr


@pytest.mark.parametrize("break_it", ["missing", "garbage", "of somebody else", "RSA"])
def test_s85_a_certificate_authority_without_its_key_signs_nothing(
    settings: Any, tmp_path: Path, break_it: str
) -> None:
    """Given an authority, when its key is missing, unreadable, another one's or of another kind,
    then nothing is signed and the gateway has nothing to listen with."""
    _authority_in(settings, tmp_path / "one")
    key = Path(settings.CA_KEY_FILE)
    if break_it == "missing":
        key.unlink()
    elif break_it == "garbage":
        key.write_text("changeme")
    elif break_it == "of somebody else":
        mine = key
        _authority_in(settings, tmp_path / "two")
        theirs = Path(settings.CA_KEY_FILE).read_bytes()
        _authority_in(settings, tmp_path / "one")
        mine.write_bytes(theirs)
    else:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        pem = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        key.write_bytes(pem)
    authority._read.cache_clear()
    with pytest.raises((authority.AuthorityMissing, ValueError)):
        authority.load_gateway_tls()


def test_s85_two_installations_share_no_secret(settings: Any, tmp_path: Path) -> None:
    """Given two fresh installations, when each has generated its secrets, on one machine and for
    containers, then no secret file of one is like one of the other, and others cannot read them."""
    found: list[set[str]] = []
    for name in ("one", "two"):
        layout = DataLayout(tmp_path / name)
        layout.root.mkdir()
        given = {"FLEETD_DATA_DIR": str(layout.root)}
        Platform(Environment(SETTINGS, given))._make_folders()
        _authority_in(settings, layout.root)
        files = [*layout.secrets.iterdir(), *Path(settings.CA_DIR).glob("*.key")]
        assert {"secret-key", "encryption-keys", "ca.key"} <= {path.name for path in files}
        assert all(path.stat().st_mode & 0o077 == 0 for path in files)
        texts = {path.read_text().strip() for path in files}
        for files_of in container_secrets.contents().values():
            texts |= {text for file, text in files_of.items() if not file.endswith(".sql")}
        found.append(texts)
    assert found[0] & found[1] == set()
    assert all(len(texts) >= 8 for texts in found)


def _authority_in(settings: Any, folder: Path) -> None:
    settings.CA_DIR = folder / "ca"
    settings.CA_CERT_FILE, settings.CA_KEY_FILE = folder / "ca/ca.crt", folder / "ca/ca.key"
    authority._read.cache_clear()
    authority.ensure_authority()
