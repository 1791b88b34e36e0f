"""Which device a client certificate names. TLS has checked the chain and the dates already."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from apps.agents.errors import NoDeviceCertificate

E = TypeVar("E", bound=x509.ExtensionType)

RENEWAL_SHARE = 2 / 3
SCHEME = "spiffe://"


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a device's certificate says."""

    spiffe_id: str
    serial: str
    not_before: datetime
    not_after: datetime

    @property
    def renewal_at(self) -> datetime:
        """When the device should have a new one: at two thirds of the life."""
        life: timedelta = self.not_after - self.not_before
        return self.not_before + life * RENEWAL_SHARE


def peer_certificate(pem: bytes | None) -> PeerCertificate:
    """Reads the certificate. Raises `NoDeviceCertificate` for any that is not a device's.

    A certificate of our own authority may still be the authority's or a server's: those say so.
    """
    if not pem:
        raise NoDeviceCertificate
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = _extension(certificate, x509.SubjectAlternativeName)
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        usages = _extension(certificate, x509.ExtendedKeyUsage)
        is_authority = _extension(certificate, x509.BasicConstraints).ca
    except (ValueError, x509.ExtensionNotFound):
        raise NoDeviceCertificate from None
    is_client = ExtendedKeyUsageOID.CLIENT_AUTH in usages
    if is_authority or not is_client or len(uris) != 1 or not uris[0].startswith(SCHEME):
        raise NoDeviceCertificate
    return PeerCertificate(
        spiffe_id=uris[0],
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _extension(certificate: x509.Certificate, kind: type[E]) -> E:
    return certificate.extensions.get_extension_for_class(kind).value
