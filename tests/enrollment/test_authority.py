"""The certificate authority's files."""

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from apps.core import clock
from apps.enrollment.domain import ca
from apps.enrollment.errors import AuthorityMissing
from apps.enrollment.services import authority as service


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    """An installation without an authority."""
    settings.CA_DIR = tmp_path / "ca"
    settings.CA_CERT_FILE = settings.CA_DIR / "ca.crt"
    settings.CA_KEY_FILE = settings.CA_DIR / "ca.key"
    return tmp_path / "ca"


def test_everything_is_made_once(folder: Path) -> None:
    assert len(service.ensure_authority()) == 2
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert service.ensure_authority() == []
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


def test_keys_are_readable_by_their_owner_only(folder: Path) -> None:
    service.ensure_authority()
    modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in folder.glob("*.key")}
    assert modes == {"root.key": 0o600, "ca.key": 0o600, "gateway.key": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_gateway_certificate_names_the_hosts_and_is_for_servers_only(
    folder: Path, settings: Any
) -> None:
    settings.AGENT_EXTERNAL_ADDRESS = "agents.example.com:8443"
    service.ensure_authority()
    tls = service.load_gateway_tls()
    own, issuing = x509.load_pem_x509_certificates(tls.chain_pem)
    assert {"agents.example.com", "localhost", "127.0.0.1"} <= ca.hosts_of(own)
    usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    own.verify_directly_issued_by(issuing)


def test_new_hosts_bring_a_new_gateway_certificate(folder: Path, settings: Any) -> None:
    service.ensure_authority()
    settings.AGENT_EXTERNAL_ADDRESS = "new.example.com:8443"
    assert service.ensure_authority() == ["made the gateway's certificate: the hosts have changed"]


def test_a_worn_gateway_certificate_is_replaced(folder: Path) -> None:
    service.ensure_authority()
    with time_machine.travel(clock.now() + timedelta(days=300), tick=False):
        assert service.ensure_authority() == [
            "made the gateway's certificate: the old one ends soon"
        ]


def test_a_worn_issuing_certificate_is_renewed_while_the_root_key_is_there(folder: Path) -> None:
    service.ensure_authority()
    old = service.load_authority()
    with time_machine.travel(clock.now() + timedelta(days=8 * 365), tick=False):
        assert "renewed the issuing certificate" in service.ensure_authority()
        new = service.load_authority()
    assert new.certificate != old.certificate
    assert new.root == old.root
    assert new.installation_id == old.installation_id


def test_the_root_key_can_be_taken_away(folder: Path) -> None:
    service.ensure_authority()
    (folder / "root.key").unlink()
    assert service.ensure_authority() == []
    assert service.load_authority().root


def test_without_an_authority_one_is_told_what_to_do(folder: Path) -> None:
    with pytest.raises(AuthorityMissing):
        service.load_authority()


def test_a_key_that_does_not_fit_is_refused(folder: Path) -> None:
    service.ensure_authority()
    (folder / "ca.key").write_bytes((folder / "root.key").read_bytes())
    with pytest.raises(ValueError, match="does not fit"):
        service.load_authority()


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://i/org/x/device/y",
        "spiffe://i/org/018f3f2e-0000-7000-8000-000000000001",
        "https://i/org/018f3f2e-0000-7000-8000-000000000001/device/018f3f2e-0000-7000-8000-000000000002",
        "spiffe://i/org/018F3F2E-0000-7000-8000-000000000001/device/018f3f2e-0000-7000-8000-000000000002",
        "spiffe://i/org/018f3f2e-0000-7000-8000-000000000001/device/018f3f2e-0000-7000-8000-000000000002/",
        "",
    ],
)
def test_only_our_own_form_of_identity_is_read(uri: str) -> None:
    assert ca.Identity.parse(uri) is None
