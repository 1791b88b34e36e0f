"""Quotas: how much of something an organization may have, enforced where it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from apps.core.actors import Actor
from apps.core.authz import require
from apps.organizations.domain.settings import KEYS, value
from apps.organizations.errors import QuotaExceeded
from apps.organizations.models import Organization
from apps.organizations.permissions import VIEW_USAGE

Meter = Callable[[UUID], int]
RETRY_AFTER_SECONDS = 300
WORDS = {"devices": "devices", "storage_bytes": "bytes of artifacts", "api_keys": "API keys"}
WITHOUT_QUOTA = frozenset({"online"})
_METERS: dict[str, Meter] = {}


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a quota is used; `limit` is None where there is none."""

    quota: str
    used: int
    limit: int | None

    @property
    def ratio(self) -> float | None:
        """The used share, None where there is no limit."""
        return None if self.limit is None else self.used / self.limit if self.limit else 1.0


def register_meter(what: str, meter: Meter) -> None:
    """Says how something is counted: `meter(organization_id)`, inside the organization.

    `what` is a quota, or `online`, which has none. For `ready()` of the app that holds it.
    """
    if f"quotas.{what}" not in KEYS and what not in WITHOUT_QUOTA:
        raise ValueError(f"there is no quota {what}")
    _METERS[what] = meter


def count_use(organization_id: UUID, what: str) -> int:
    """How much there is of it now; inside the organization."""
    return _METERS[what](organization_id)


def require_room(actor: Actor, quota: str, *, adding: int = 1) -> None:
    """Raises `QuotaExceeded` unless `adding` more fit, at the end of the caller's transaction.

    Call it in the transaction that writes, right before the write: of several at once each sees
    what those before it have written, because the organization's row stays locked. Without a limit
    nothing is locked or counted.
    """
    organization = Organization.objects.get(id=actor.organization_id)
    if value(organization, f"quotas.{quota}") is None:
        return
    # Not FOR UPDATE: that would make every insert of a tenant row wait, which refers to this one.
    rows = Organization.objects.select_for_update(no_key=True)
    limit = value(rows.get(id=actor.organization_id), f"quotas.{quota}")
    if limit is None:
        return
    used = _METERS[quota](actor.organization_id)
    if used + adding > limit:
        raise QuotaExceeded(
            f"The quota of {limit} {WORDS[quota]} is used up ({used} in use).",
            data={"quota": quota, "limit": limit, "used": used},
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )


def list_usage(actor: Actor) -> list[Usage]:
    """What counts against each quota of the actor's organization."""
    require(actor, VIEW_USAGE)
    organization = Organization.objects.get(id=actor.organization_id)
    return [
        Usage(quota, _METERS[quota](actor.organization_id), value(organization, f"quotas.{quota}"))
        for quota in WORDS
        if quota in _METERS
    ]
