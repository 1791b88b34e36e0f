"""Networks that a key works from: CIDR blocks of IPv4 and IPv6."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

MAX_NETWORKS = 20
Network = IPv4Network | IPv6Network


def read(text: str) -> Network:
    """A block as `192.0.2.0/24`, or one address. Raises `ValueError` for anything else.

    Bits beyond the prefix are refused: who writes 192.0.2.7/24 meant either more or less.
    """
    if "%" in text:
        raise ValueError("a zone means something on one machine only")
    found = ip_network(text.strip())
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is None:
        return found
    if found.prefixlen < 96:
        raise ValueError("wider than IPv4 in an IPv4-mapped block")
    return ip_network(f"{mapped}/{found.prefixlen - 96}")


def holds(networks: Sequence[str], address: str | None) -> bool:
    """Whether an address lies in one of the blocks; with no block named, every address does."""
    if not networks:
        return True
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in read(network) for network in networks)


def are_within(inner: Iterable[str], outer: Sequence[str]) -> bool:
    """Whether each inner block lies in an outer one; naming none means every address."""
    if not outer:
        return True
    blocks = [read(text) for text in inner]
    around = [read(text) for text in outer]
    return bool(blocks) and all(any(_is_subnet(b, a) for a in around) for b in blocks)


def _is_subnet(block: Network, around: Network) -> bool:
    if isinstance(block, IPv4Network) and isinstance(around, IPv4Network):
        return block.subnet_of(around)
    if isinstance(block, IPv6Network) and isinstance(around, IPv6Network):
        return block.subnet_of(around)
    return False
