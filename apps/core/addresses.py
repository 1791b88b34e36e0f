"""Where a call comes from: the socket's address, or what the trusted proxies in front say.

Every door asks here, so that limits, policies and the audit trail never disagree.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings

MAX_TEXT = 64  # the longest sane address, brackets and port included
_HOST_BITS_KEPT = 64


def client_address(socket: str | None, forwarded: Iterable[str] = ()) -> str | None:
    """The caller's address.

    `socket` is the peer's host, `forwarded` the X-Forwarded-For lines. Each of the
    FLEETD_TRUSTED_PROXIES in front adds one address at the right end, so the one that far from the
    right is what the outermost proxy saw; everything left of it is the caller's own invention. What
    is no plain address changes nothing: then the socket counts, as it does without proxies.
    """
    peer = _plain((socket or "").partition("%")[0])
    trusted = settings.TRUSTED_PROXIES
    if trusted:
        hops = ",".join(forwarded).rsplit(",", trusted)
        if len(hops) >= trusted and (seen := _plain(hops[-trusted])):
            return seen
    return peer or None


def limit_key(address: str | None) -> str:
    """Whom an address stands for in limits: itself, or its /64 where it is IPv6.

    Whoever has one IPv6 address has 2^64 of them.
    """
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _HOST_BITS_KEPT), strict=False))
    return str(found)


def is_private_peer(address: str | None) -> bool:
    """Whether an address is loopback or of a private network."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    return found.is_loopback or (found.is_private and not found.is_unspecified)


def _plain(text: str) -> str:
    """The address in `text` in its usual spelling, empty where there is none."""
    if not text or len(text) > MAX_TEXT:
        return ""
    text = text.strip()
    if text.startswith("["):
        text, closed, _ = text[1:].partition("]")
        text = text if closed else ""
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:  # means something on one machine only
            return ""
        found = found.ipv4_mapped or found
    return str(found)
