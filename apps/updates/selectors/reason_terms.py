"""A deployment's reason in SQL."""

from typing import Any

from django.db.models import CharField, F, Q, Value
from django.db.models.functions import Coalesce, NullIf
from django.db.models.lookups import Exact


def reason_of() -> Coalesce:
    """What the device or the platform gave as its reason, or the state where nobody gave one."""
    return Coalesce(NullIf(F("reason_code"), _text("")), F("state"), output_field=CharField())


def with_reason(reason: str) -> Q:
    """Deployments that have this reason; none has one with a NUL, which no text can hold."""
    return Q(Exact(reason_of(), _text(reason.replace("\0", "\N{REPLACEMENT CHARACTER}"))))


def _text(value: str) -> Any:
    return Value(value, CharField())
