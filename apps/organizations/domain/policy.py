"""An organization's security policy: what a sign-in must be, to work in it.

One pure function decides for every door. Networks are CIDR, as `ipaddress` reads them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from apps.core.actors import SignIn
from apps.organizations.domain.settings import HasSettings, value
from apps.organizations.errors import AddressNotAllowed, MfaRequired, SessionTooOld

SECOND_FACTORS = frozenset({"totp", "recovery_code", "passkey"})
"""Any of them makes a sign-in strong. A passkey proves possession and a PIN or finger by itself."""

UNKNOWN = SignIn(datetime.fromtimestamp(0, UTC), frozenset())
"""A caller of whom nobody says how they signed in: endlessly old, and nothing proved."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an organization demands. Zero and empty demand nothing."""

    requires_mfa: bool = False
    session_hours: int = 0
    idle_minutes: int = 0
    password_min_length: int = 0
    allowed_networks: tuple[str, ...] = ()


def policy_of(organization: HasSettings) -> Policy:
    """The policy that an organization has stored, or the defaults."""
    return Policy(
        requires_mfa=value(organization, "security.require_mfa"),
        session_hours=value(organization, "security.session_hours"),
        idle_minutes=value(organization, "security.idle_minutes"),
        password_min_length=value(organization, "security.password_min_length"),
        allowed_networks=tuple(value(organization, "security.allowed_networks")),
    )


def check(policy: Policy, sign_in: SignIn, address: str | None, now: datetime) -> None:
    """Raises unless a person who signed in like this may work in the organization now.

    `SessionTooOld` asks for a new sign-in, `MfaRequired` for a second factor, `AddressNotAllowed`
    for another network. Where several hold, the one that the person cannot mend comes first.
    """
    check_address(policy, address)
    age = now - sign_in.at
    if policy.session_hours and age >= timedelta(hours=policy.session_hours):
        raise SessionTooOld
    idle = now - (sign_in.last_seen_at or sign_in.at)
    if policy.idle_minutes and idle >= timedelta(minutes=policy.idle_minutes):
        raise SessionTooOld("You have been away for too long. Sign in again.")
    if policy.requires_mfa and not is_strong(sign_in):
        raise MfaRequired


def check_key(policy: Policy, has_factor: bool, address: str | None) -> None:
    """The same for a program with an API key: `has_factor` says it of the key's maker.

    A program cannot answer a second factor, so the key is as good as the sign-in that made it: the
    key of somebody who has no second factor does not work where one is required.
    """
    check_address(policy, address)
    if policy.requires_mfa and not has_factor:
        raise MfaRequired("The maker of this key has no second factor, which is required here.")


def check_address(policy: Policy, address: str | None) -> None:
    """Raises `AddressNotAllowed` where networks are named and the address is in none of them."""
    if policy.allowed_networks and not is_in_networks(address, policy.allowed_networks):
        raise AddressNotAllowed


def is_strong(sign_in: SignIn) -> bool:
    """Whether something besides a password was proved."""
    return bool(sign_in.methods & SECOND_FACTORS)


def is_in_networks(address: str | None, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks; what cannot be read lies in none."""
    try:
        found = _plain(ip_address((address or "").partition("%")[0]))
    except ValueError:
        return False
    return any(found in ip_network(network, strict=False) for network in networks)


def strictest_password_length(policies: Iterable[Policy]) -> int:
    """How long a person's password must be, for all of their organizations."""
    return max((policy.password_min_length for policy in policies), default=0)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """IPv4 addresses as such, where a dual-stack socket shows them inside IPv6."""
    return getattr(address, "ipv4_mapped", None) or address
