"""Offline keys: Ed25519, each in an encrypted file that only its owner can read."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey

from fleetctl.errors import CommandError, UsageError

MINIMUM_PASSPHRASE = 12


@dataclass(frozen=True)
class OfflineKey:
    """A key that signs root or targets."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> SSlibKey:
        """Its public half, as metadata holds it."""
        return public_key(self.private.public_key().public_bytes_raw().hex())

    @property
    def signer(self) -> CryptoSigner:
        """What signs metadata with it."""
        return CryptoSigner(self.private, self.public)


def public_key(public: str) -> SSlibKey:
    """A public key, 64 hex digits, in the form of metadata. Its id is the digest of that form."""
    value = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
    name = sha256(str(encode_canonical(value)).encode()).hexdigest()
    return SSlibKey(name, "ed25519", "ed25519", {"public": public})


def make_key() -> OfflineKey:
    """A fresh key."""
    return OfflineKey(Ed25519PrivateKey.generate())


def save_key(key: OfflineKey, path: Path, passphrase: str) -> None:
    """Writes the key, encrypted, to a new file with mode 0600. It never replaces one."""
    if len(passphrase) < MINIMUM_PASSPHRASE:
        raise UsageError(f"a passphrase has at least {MINIMUM_PASSPHRASE} characters")
    content = key.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already; keys are never overwritten") from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def load_key(path: Path, passphrase: str) -> OfflineKey:
    """Reads a key that `save_key` has written."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        private = serialization.load_pem_private_key(content, passphrase.encode() or None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: wrong passphrase, or no key") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{path}: not an Ed25519 key")
    return OfflineKey(private)
