"""The key that signs checkpoints: Ed25519, known by the beginning of its SHA-256."""

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from apps.audit.domain.offline_verifier import key_id_of, statement_bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with what others know of it."""

    key: Ed25519PrivateKey
    public_key: bytes

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits."""
        return key_id_of(self.public_key)

    def sign(self, statement: dict[str, Any]) -> bytes:
        """The signature of a checkpoint's statement, 64 bytes."""
        return self.key.sign(statement_bytes(statement))


def new_key_pem() -> bytes:
    """A new private key, PKCS #8 in PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(pem: bytes) -> SigningKey:
    """The key in a PEM file. Raises ValueError for anything but an Ed25519 private key."""
    key = load_pem_private_key(pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the audit trail is signed with Ed25519, and this is another kind of key")
    return SigningKey(key, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def public_pem(key: SigningKey) -> bytes:
    """The public half in PEM."""
    return key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
