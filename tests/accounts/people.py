"""Signing people in as browsers do, for tests."""

import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.conf import settings
from django.test import Client
from redis import Redis
from redis.exceptions import RedisError

from apps.accounts.models import User
from apps.audit.models import AuditEntry
from apps.core import limits
from apps.core.tenancy import tenant
from apps.organizations.models import Membership, Organization
from tests.factories import PASSWORD

LOGIN = "/accounts/login"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
WRONG = "this is not the password"


def sign_in(
    email: str, password: str = PASSWORD, client: Client | None = None, **more: Any
) -> tuple[Client, Any]:
    """One attempt at the form."""
    client = client or Client()
    return client, client.post(LOGIN, {"login": email, "password": password}, **more)


def code(offset: int = 0) -> str:
    """What the authenticator app of `with_app` shows, `offset` steps from now."""
    return format_hotp_value(hotp_value(SECRET, int(time.time()) // 30 + offset))


def with_app(user: User) -> Authenticator:
    """Gives a person an authenticator app."""
    return TOTP.activate(user, SECRET).instance


def sign_in_with_app(email: str, client: Client | None = None) -> Client:
    """Password and code."""
    client, first = sign_in(email, client=client)
    assert first["Location"] == "/accounts/login/second-step"
    second = client.post("/accounts/login/second-step", {"code": code()})
    assert second.status_code == 302, second.content
    return client


def demand(organization: Organization, **policy: Any) -> None:
    """Sets settings of the security policy, as if somebody had."""
    held = {f"security.{name}": value for name, value in policy.items()}
    organization.settings = {**organization.settings, **held}
    organization.save(update_fields=["settings"])


def entries(member: Membership, action: str = "accounts.sign_in") -> list[AuditEntry]:
    """What the trail of the member's organization says."""
    with tenant(member.organization_id):
        rows = AuditEntry.objects.for_org(member.organization_id).filter(action=action)
        return list(rows.order_by("sequence"))


def forget_attempts() -> None:
    """Fills every budget again, here and in Valkey if it runs."""
    limits._local._full.clear()
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=1) as valkey:
            for key in valkey.scan_iter("limit:*"):
                valkey.delete(key)
    except (RedisError, OSError):
        pass
