"""The installation's certificate authority, as files in the data directory.

`root.key` signs only the issuing authority: it can be moved offline once it exists, with
`manage.py export_root_key`. `ca.crt` holds the issuing certificate and the root, `ca.key` signs
devices and the gateway. Every key has mode 0600 and is sealed (`apps.core.sealing`). An operator's
own authority is named by FLEETD_CA_CERT_FILE and FLEETD_CA_KEY_FILE; its key is read as it lies.
"""

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from django.conf import settings

from apps.core import clock
from apps.core.ids import uuid7
from apps.core.sealing import CannotUnseal, is_current, is_sealed, seal, unseal
from apps.enrollment.domain import ca
from apps.enrollment.errors import AuthorityMissing

SEALED_FOR = "enrollment.ca_key"
WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - addresses that a certificate cannot name


@dataclass(frozen=True, slots=True)
class GatewayTls:
    """What a gateway listens with: its certificate and key, and whose clients it lets in."""

    chain_pem: bytes
    key_pem: bytes
    trusted_pem: bytes


def ensure_authority() -> list[str]:
    """Makes what is missing of root, issuing authority and gateway certificate.

    Repeating it changes nothing until a certificate wears out or the hosts change. Returns what it
    did, in words. Processes that run it at once take turns.
    """
    done = []
    with _alone():
        if not settings.CA_CERT_FILE.exists():
            _make_authority()
            done.append(f"made the certificate authority in {settings.CA_DIR}")
        elif _renew_issuing():
            done.append("renewed the issuing certificate")
        if _reseal(lambda text: not is_sealed(text)):
            done.append("sealed the keys of the certificate authority")
        if reason := _gateway_need():
            _make_gateway()
            done.append(f"made the gateway's certificate: {reason}")
    return done


def reseal_keys() -> int:
    """Seals the keys in the data directory again with the key that seals now; how many."""
    with _alone():
        return _reseal(lambda text: not is_current(text))


def root_key_pem() -> bytes:
    """The root's key, for a safe place off this machine. Raises `AuthorityMissing`."""
    try:
        return _key_pem(Path(settings.CA_DIR) / "root.key")
    except FileNotFoundError as error:
        raise AuthorityMissing from error


def load_authority() -> ca.Authority:
    """The authority that signs devices. Raises `AuthorityMissing` before `ensure_authority`."""
    try:
        chain, key = settings.CA_CERT_FILE, settings.CA_KEY_FILE
        return _read(chain, key, chain.stat().st_mtime_ns, key.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise AuthorityMissing from error


def load_gateway_tls() -> GatewayTls:
    """Certificate, key and trust of the agent port. Raises `AuthorityMissing`."""
    authority = load_authority()
    try:
        chain, key = _gateway_chain().read_bytes(), _key_pem(_gateway_key())
    except FileNotFoundError as error:
        raise AuthorityMissing from error
    trusted = "".join(ca.pem(c) for c in (authority.root, authority.certificate))
    return GatewayTls(chain, key, trusted.encode())


def gateway_hosts() -> list[str]:
    """The names and addresses under which agents may reach the gateway."""
    external = urlsplit(f"//{settings.AGENT_EXTERNAL_ADDRESS}").hostname or ""
    web = urlsplit(settings.EXTERNAL_URL).hostname or ""
    listen = str(settings.AGENT_LISTEN.host)
    hosts = {external, web, listen, socket.gethostname(), "localhost", "127.0.0.1", "::1"}
    return sorted(hosts - WILDCARDS)


def _gateway_chain() -> Path:
    return Path(settings.CA_DIR) / "gateway.crt"


def _gateway_key() -> Path:
    return Path(settings.CA_DIR) / "gateway.key"


def _make_authority() -> None:
    root = ca.make_root(str(uuid7()), clock.now())
    _write(settings.CA_DIR / "root.crt", ca.pem(root.certificate), 0o644)
    _write_key(settings.CA_DIR / "root.key", ca.key_pem(root.key))
    _write_issuing(ca.make_issuing(root, clock.now()))


def _write_issuing(issuing: ca.Authority) -> None:
    """The key first: a certificate never lies there without its key."""
    _write_key(settings.CA_KEY_FILE, ca.key_pem(issuing.key))
    chain = "".join(ca.pem(c) for c in (issuing.certificate, *issuing.above))
    _write(settings.CA_CERT_FILE, chain, 0o644)


def _renew_issuing() -> bool:
    """Renews the issuing certificate while the root's key is at hand, in its last third."""
    root_key, root_chain = settings.CA_DIR / "root.key", settings.CA_DIR / "root.crt"
    if not ca.is_worn(load_authority().certificate, clock.now()) or not root_key.exists():
        return False
    root = ca.read_authority(root_chain.read_bytes(), _key_pem(root_key))
    _write_issuing(ca.make_issuing(root, clock.now()))
    return True


def _gateway_need() -> str:
    """Why the gateway needs another certificate, empty where it does not."""
    chain = _gateway_chain()
    if not chain.exists() or not _gateway_key().exists():
        return "there was none"
    own, *above = x509.load_pem_x509_certificates(chain.read_bytes())
    if ca.is_worn(own, clock.now()):
        return "the old one ends soon"
    if set(gateway_hosts()) - ca.hosts_of(own):
        return "the hosts have changed"
    if load_authority().certificate not in above:
        return "the authority has changed"
    return ""


def _make_gateway() -> None:
    key = ca.new_key()
    chain = ca.sign_gateway(load_authority(), key, gateway_hosts(), clock.now())
    _write_key(_gateway_key(), ca.key_pem(key))
    _write(_gateway_chain(), chain, 0o644)


@lru_cache(maxsize=4)
def _read(chain: Path, key: Path, *_written_at: int) -> ca.Authority:
    """Read once per version of the files."""
    return ca.read_authority(chain.read_bytes(), _key_pem(key))


def _key_pem(path: Path) -> bytes:
    """The key in a file, sealed by us or brought by the operator as it is."""
    text = path.read_text().strip()
    if not is_sealed(text):
        return text.encode()
    try:
        return unseal(text, purpose=SEALED_FOR)
    except CannotUnseal as error:
        raise AuthorityMissing(f"The key in {path.name} cannot be opened: {error}.") from error


def _write_key(path: Path, pem: str) -> None:
    _write(path, seal(pem.encode(), purpose=SEALED_FOR) + "\n", 0o600)


def _reseal(is_due: Callable[[str], bool]) -> int:
    """Of our own keys only: an operator's file is not ours to change."""
    own = [path for path in Path(settings.CA_DIR).glob("*.key") if is_due(path.read_text().strip())]
    for path in own:
        _write_key(path, _key_pem(path).decode())
    return len(own)


def _write(path: Path, text: str, mode: int) -> None:
    """Writes a file complete or not at all, with its final mode from the first moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)


@contextmanager
def _alone() -> Iterator[None]:
    directory = Path(settings.CA_DIR)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
