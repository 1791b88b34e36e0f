"""A certificate authority of its own for each test run, and machines that enroll."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.cache import cache

from apps.core.actors import Actor, Call, Source
from apps.core.tenancy import tenant
from apps.devices.types import Facts
from apps.enrollment.services.authority import ensure_authority
from apps.enrollment.services.tokens import NewEnrollmentToken, create_enrollment_token
from apps.enrollment.types import EnrollmentRequest

CALL = Call(Source.AGENT, "192.0.2.7", "request-7")


def csr(key: Any = None, name: str = "anything", **extension: Any) -> str:
    """A signing request in PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for value in extension.values():
        builder = builder.add_extension(value, critical=False)
    algorithm = None if "ed25519" in type(key).__module__ else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Machine:
    """A machine with a key of its own that asks to join."""

    hardware_id: str = "hardware-of-machine"
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def request(self, secret: str, **changes: Any) -> EnrollmentRequest:
        """What it sends."""
        request = EnrollmentRequest(
            token=secret,
            csr_pem=csr(self.key),
            hardware_id=self.hardware_id,
            agent_version="1.0",
            facts=Facts(hostname="pump-7", os_name="Debian", details={"cpu_count": 4}),
        )
        return replace(request, **changes)


@pytest.fixture(scope="session")
def _authority_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ca")


@pytest.fixture(autouse=True)
def authority(settings: Any, _authority_files: Path) -> None:
    """The installation's authority, made once."""
    settings.CA_DIR = _authority_files
    settings.CA_CERT_FILE = _authority_files / "ca.crt"
    settings.CA_KEY_FILE = _authority_files / "ca.key"
    ensure_authority()


@pytest.fixture(autouse=True)
def _no_failures_counted(redis_url: str) -> None:
    cache.clear()


@pytest.fixture
def new_token(erin: Actor) -> Callable[..., NewEnrollmentToken]:
    """Makes a token of acme as Erin."""

    def make(**values: Any) -> NewEnrollmentToken:
        with tenant(erin.organization_id):
            return create_enrollment_token(erin, **{"name": "line 1", **values})

    return make
