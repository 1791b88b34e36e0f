"""Who this device is: its key, its certificate, and the platform that issued it.

The private key is made here and never leaves. Key and certificate live in one file that is replaced
atomically, so that a power cut can never leave a key with another key's certificate.
"""

import json
import random
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleetd_agent.files import write_atomic
from fleetd_agent.signed import root_of

RENEW_AT = 2 / 3
RENEW_SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class Identity:
    """What enrollment gives a device."""

    server: str
    device_id: str
    organization_id: str
    agent_address: str
    root_pem: str
    chain_pem: str
    key_pem: str
    # The TUF root that was pinned at enrollment, in JSON; empty where the organization had none.
    trusted_root: str = ""

    @property
    def certificate(self) -> x509.Certificate:
        """The device's own certificate."""
        return x509.load_pem_x509_certificate(self.chain_pem.encode())

    @property
    def not_after(self) -> datetime:
        """When the certificate ends."""
        return self.certificate.not_valid_after_utc

    @property
    def renew_at(self) -> datetime:
        """When to ask for the next one: two thirds of its life, give or take ten percent.

        The spread comes from the serial number, so that restarting does not roll the dice again.
        """
        certificate = self.certificate
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        spread = random.Random(certificate.serial_number).uniform(-RENEW_SPREAD, RENEW_SPREAD)  # noqa: S311 - not a secret
        return certificate.not_valid_before_utc + life * (RENEW_AT + spread)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as the platform shows it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def to_json(self) -> str:
        """For the identity file."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The reverse of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Request:
    """A key and the certificate signing request made from it."""

    key_pem: str
    csr_pem: str


def make_request() -> Request:
    """A fresh ECDSA P-256 key and its signing request; the platform chooses every name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fleetd device")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return Request(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        csr.public_bytes(serialization.Encoding.PEM).decode(),
    )


def is_pair(key_pem: str, chain_pem: str) -> bool:
    """True when the first certificate of the chain is for this key."""
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    certificate = x509.load_pem_x509_certificate(chain_pem.encode())
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


class IdentityStore:
    """The identity on disk, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self._identity = folder / "identity.json"
        self._request = folder / "enrollment.json"

    def load(self) -> Identity | None:
        """The identity, None before enrollment."""
        try:
            return Identity.from_json(self._identity.read_bytes())
        except FileNotFoundError:
            return None

    def save(self, identity: Identity) -> None:
        """Replaces the identity; the request that led to it is done.

        A root that is trusted stays, whatever a later enrollment in the organization says: it
        leads to every newer one, and nobody can talk a device out of it from afar.
        """
        before = self.load()
        if before and before.trusted_root and before.organization_id == identity.organization_id:
            identity = replace(identity, trusted_root=before.trusted_root)
        self._write(identity)

    def trust(self, root: str) -> None:
        """Pins a root by hand, on the device itself. Raises ValueError for what is none."""
        identity = self.load()
        if identity is None:
            raise ValueError("this device is not enrolled")
        self._write(replace(identity, trusted_root=root_of(root, identity.organization_id)))

    def _write(self, identity: Identity) -> None:
        write_atomic(self._identity, identity.to_json().encode())
        self._request.unlink(missing_ok=True)

    def request_for(self, server: str) -> Request:
        """The request of an enrollment under way at `server`, or a new one.

        It is kept until a certificate has come: with the same key, a lost answer is repeated
        instead of making a second device.
        """
        try:
            data = json.loads(self._request.read_bytes())
            if data["server"] == server:
                return Request(data["key_pem"], data["csr_pem"])
        except (FileNotFoundError, ValueError, KeyError):
            pass
        request = make_request()
        content = json.dumps({"server": server, **asdict(request)})
        write_atomic(self._request, content.encode())
        return request


def is_expired(identity: Identity, now: datetime) -> bool:
    """True when the certificate can no longer be used."""
    return now >= identity.not_after


def until_renewal(identity: Identity, now: datetime) -> timedelta:
    """How long until the certificate should be renewed; zero or less means now."""
    return identity.renew_at - now
