"""What organizations have set that doors need before or beside a call, at most five seconds old."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.conf import settings

from apps.core.rpc import DATABASE_AWAY
from apps.organizations.domain.settings import value
from apps.organizations.models import Organization

log = structlog.get_logger(__name__)

FRESH_SECONDS = 4.0
RETRY_SECONDS = 1.0
ORIGINS, QUOTA = "cors.allowed_origins", "quotas.requests_per_minute"


@dataclass(frozen=True, slots=True)
class Rules:
    """Of the organizations that have set something: their origins and their quotas."""

    origins: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    quotas: Mapping[UUID, int] = field(default_factory=dict)
    every_origin: frozenset[str] = frozenset()

    def calls_per_minute(self, organization_id: UUID) -> int:
        """The organization's own quota, else the installation's; 0 is no limit."""
        return self.quotas.get(organization_id, settings.LIMIT_ORGANIZATION)

    def is_listed(self, origin: str) -> bool:
        """Whether some organization lets pages of this origin call."""
        return origin in self.every_origin

    def lists(self, organization_id: UUID | None, origin: str) -> bool:
        """Whether this organization does."""
        return organization_id is not None and origin in self.origins.get(organization_id, ())


class _Cache:
    """One reading for the whole process. Nothing of it goes to a caller: only yes, no and a number.

    Organizations are no rows of a tenant, so row security has no say; what is read here is their
    two settings and nothing of what belongs to them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules = Rules()
        self._until = float("-inf")

    def is_fresh(self) -> bool:
        """Whether `current` answers without asking the database."""
        return time.monotonic() < self._until

    def current(self) -> Rules:
        """The rules; read again where they are too old. An absent database leaves the last ones."""
        if not self.is_fresh():
            with self._lock:
                if not self.is_fresh():
                    self._read()
        return self._rules

    def forget(self) -> None:
        """Reads again at the next call."""
        self._until = float("-inf")

    def _read(self) -> None:
        began = time.monotonic()
        try:
            self._rules = _rules()
        except DATABASE_AWAY as error:
            log.warning("organization_rules_not_read", error=str(error))
            self._until = began + RETRY_SECONDS
            return
        self._until = began + FRESH_SECONDS


def _rules() -> Rules:
    active = Organization.objects.filter(status=Organization.Status.ACTIVE)
    found = list(active.filter(settings__has_any_keys=[ORIGINS, QUOTA]).only("id", "settings"))
    origins = {o.id: frozenset(value(o, ORIGINS)) for o in found if value(o, ORIGINS)}
    quotas = {o.id: q for o in found if (q := value(o, QUOTA)) is not None}
    return Rules(origins, quotas, frozenset().union(*origins.values()))


_cache = _Cache()
current_rules = _cache.current
rules_are_fresh = _cache.is_fresh
forget_rules = _cache.forget
