"""The certificates of an installation: root, issuing authority, gateway, devices.

All keys are ECDSA P-256. The authority chooses every name: of a signing request only the public key
is used. The installation's id is the SPIFFE trust domain that both authority certificates name.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apps.enrollment.errors import CsrInvalid, CsrKeyUnsupported

ROOT_LIFE = timedelta(days=20 * 365)
ISSUING_LIFE = timedelta(days=10 * 365)
GATEWAY_LIFE = timedelta(days=397)
# Devices whose clocks are a little behind must not take a new certificate for one of the future.
BACKDATED = timedelta(minutes=5)
RENEW_WITH_LEFT = 1 / 3

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs, its key, and the certificates above it up to the root."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = ()

    @property
    def root(self) -> x509.Certificate:
        """What devices and gateways trust."""
        return self.above[-1] if self.above else self.certificate

    @property
    def installation_id(self) -> str:
        """The trust domain of the installation; of a foreign authority, a digest of its key."""
        for uri in _uris(self.certificate):
            if uri.startswith("spiffe://"):
                return uri.removeprefix("spiffe://")
        return public_key_hash(self.root.public_key())[:32]  # type: ignore[arg-type]

    @property
    def chain_pem(self) -> str:
        """This certificate and those above it, without the root, which the other side has."""
        below_root = (self.certificate, *self.above)[:-1] or (self.certificate,)
        return "".join(pem(c) for c in below_root)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a SPIFFE id names."""

    installation_id: str
    organization_id: UUID
    device_id: UUID

    def __str__(self) -> str:
        return f"spiffe://{self.installation_id}/org/{self.organization_id}/device/{self.device_id}"

    @classmethod
    def parse(cls, uri: str) -> "Identity | None":
        """The identity in a URI, None for any other URI: exactly the form that we write."""
        parts = uri.removeprefix("spiffe://").split("/")
        if len(parts) != 5 or parts[1] != "org" or parts[3] != "device":
            return None
        try:
            identity = cls(parts[0], UUID(parts[2]), UUID(parts[4]))
        except ValueError:
            return None
        return identity if str(identity) == uri else None


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate that a peer has proven to hold: its SPIFFE id and serial number."""

    spiffe_id: str
    serial: str


def new_key() -> Key:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_root(installation_id: str, now: datetime) -> Authority:
    """The root of a new installation. It signs issuing authorities only and can be kept offline."""
    key = new_key()
    name = _name(f"fleetd root {installation_id}")
    builder = _authority(name, name, key, installation_id, path_length=1)
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(now + ROOT_LIFE)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def make_issuing(root: Authority, now: datetime) -> Authority:
    """The authority that signs gateways and devices, below `root`."""
    key = new_key()
    installation_id = root.installation_id
    name = _name(f"fleetd issuing {installation_id}")
    builder = _authority(name, root.certificate.subject, key, installation_id, path_length=0)
    builder = _signed_by(root, builder).not_valid_before(now - BACKDATED)
    builder = builder.not_valid_after(min(now + ISSUING_LIFE, root.certificate.not_valid_after_utc))
    return Authority(builder.sign(root.key, hashes.SHA256()), key, (root.certificate, *root.above))


def sign_gateway(issuing: Authority, key: Key, hosts: Sequence[str], now: datetime) -> str:
    """The server certificate of the agent port for these names and addresses, with its chain."""
    names: list[x509.GeneralName] = [_host(host) for host in hosts]
    builder = _leaf(issuing, key.public_key(), _name("fleetd gateway"), names)
    builder = builder.add_extension(_usage(ExtendedKeyUsageOID.SERVER_AUTH), critical=False)
    builder = _valid(builder, issuing, now, now + GATEWAY_LIFE)
    return pem(builder.sign(issuing.key, hashes.SHA256())) + issuing.chain_pem


def sign_device(
    issuing: Authority,
    public_key: ec.EllipticCurvePublicKey,
    identity: Identity,
    now: datetime,
    life: timedelta,
) -> tuple[x509.Certificate, str]:
    """A device's client certificate, and its chain as PEM. Every name is ours."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(identity))]
    builder = _leaf(issuing, public_key, _name(str(identity.device_id)), names)
    builder = builder.add_extension(_usage(ExtendedKeyUsageOID.CLIENT_AUTH), critical=False)
    builder = _valid(builder, issuing, now, now + life)
    certificate = builder.sign(issuing.key, hashes.SHA256())
    return certificate, pem(certificate) + issuing.chain_pem


def requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """The public key of a signing request whose sender has proven to hold the private one.

    Whatever else it asks for is ignored. Raises `CsrInvalid`, `CsrKeyUnsupported`.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise CsrInvalid from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CsrKeyUnsupported
    if not is_signed:
        raise CsrInvalid
    return key


def public_key_hash(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo, 64 hexadecimal digits."""
    digest = hashes.Hash(hashes.SHA256())
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest.update(key.public_bytes(*form))
    return digest.finalize().hex()


def serial_text(certificate: x509.Certificate) -> str:
    """A serial number as it is stored: hexadecimal, without leading zeros."""
    return f"{certificate.serial_number:x}"


def presented(certificate_pem: bytes) -> Presented | None:
    """What a peer's certificate says, None where it names no single SPIFFE id."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        uris = _uris(certificate)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm):
        return None
    return Presented(uris[0], serial_text(certificate)) if len(uris) == 1 else None


def is_worn(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a third of its life is left."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life * RENEW_WITH_LEFT


def hosts_of(certificate: x509.Certificate) -> set[str]:
    """The names and addresses that a server certificate is for."""
    names = _alternative_names(certificate)
    if names is None:
        return set()
    addresses = {str(a) for a in names.get_values_for_type(x509.IPAddress)}
    return set(names.get_values_for_type(x509.DNSName)) | addresses


def pem(certificate: x509.Certificate) -> str:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    """A private key as text, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def read_authority(chain: bytes, key: bytes) -> Authority:
    """An authority from its files. Raises ValueError where they do not fit or it cannot sign."""
    certificate, *above = x509.load_pem_x509_certificates(chain)
    private = serialization.load_pem_private_key(key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an ECDSA key")
    if private.public_key() != certificate.public_key():
        raise ValueError("the authority's key does not fit its certificate")
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not constraints.ca:
        raise ValueError("the authority's certificate may not sign others")
    return Authority(certificate, private, tuple(above))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(purpose: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([purpose])


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _uris(certificate: x509.Certificate) -> list[str]:
    names = _alternative_names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names else []


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _authority(
    subject: x509.Name, issuer: x509.Name, key: Key, installation_id: str, *, path_length: int
) -> x509.CertificateBuilder:
    trust_domain = x509.UniformResourceIdentifier(f"spiffe://{installation_id}")
    builder = _builder(subject, issuer, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    builder = builder.add_extension(_key_usage(is_authority=True), critical=True)
    return builder.add_extension(x509.SubjectAlternativeName([trust_domain]), critical=False)


def _leaf(
    issuing: Authority,
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    names: Sequence[x509.GeneralName],
) -> x509.CertificateBuilder:
    builder = _builder(subject, issuing.certificate.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    builder = builder.add_extension(_key_usage(is_authority=False), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _signed_by(issuing, builder)


def _signed_by(issuer: Authority, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    own = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    above = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return builder.add_extension(above, critical=False)


def _valid(
    builder: x509.CertificateBuilder, issuing: Authority, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    """No certificate outlives the authority that signed it."""
    last = issuing.certificate.not_valid_after_utc
    return builder.not_valid_before(now - BACKDATED).not_valid_after(min(until, last))
