"""Seals every registered secret again with the first of FLEETD_ENCRYPTION_KEYS.

Works row by row with a compare-and-set, so requests go on: whoever changes a row meanwhile wins,
and has sealed with a key that all processes know.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Model, QuerySet

from apps.core.sealing import (
    SealedColumn,
    current_prefix,
    is_sealed,
    seal,
    sealed_columns,
    unseal,
)
from apps.core.tenancy import OrgOwnedModel, tenant
from apps.organizations.selectors import list_organization_ids

BATCH = 500
MAX_PASSES = 5


@dataclass(slots=True)
class Resealed:
    """What happened to one column."""

    column: SealedColumn
    changed: int = 0
    left: int = 0


def reseal_all() -> list[Resealed]:
    """Every registered column, in every organization. `left` counts what is not current yet."""
    return [_reseal(column) for column in sealed_columns()]


def _reseal(column: SealedColumn) -> Resealed:
    done = Resealed(column)
    for scope, rows in _scopes(column):
        for _ in range(MAX_PASSES):
            with scope():
                changed = sum(_reseal_row(column, row) for row in _stale(column, rows())[:BATCH])
                done.changed += changed
                left = _stale(column, rows()).count()
            if not left:
                break
        done.left += left
    return done


def _scopes(column: SealedColumn) -> Iterator[tuple[Any, Any]]:
    """Per organization, or once for a table that belongs to none: how to enter, and the rows."""
    model: Any = apps.get_model(column.model)
    if not issubclass(model, OrgOwnedModel):
        yield nullcontext, model._base_manager.all
        return
    for organization_id in list_organization_ids():
        yield _entering(organization_id), lambda o=organization_id: model.objects.for_org(o)


def _entering(organization_id: Any) -> Any:
    def enter() -> AbstractContextManager[None]:
        return tenant(organization_id)

    return enter


def _stale(column: SealedColumn, rows: QuerySet[Model]) -> QuerySet[Model]:
    """The rows whose text is sealed with another key."""
    path = f"{column.field}__{column.member}" if column.member else column.field
    sealed = rows.filter(**{f"{path}__startswith": "v1."})
    return sealed.exclude(**{f"{path}__startswith": current_prefix()}).order_by("pk")


def _reseal_row(column: SealedColumn, row: Any) -> int:
    """1 where the row was sealed again, 0 where it is no sealed text or somebody was faster."""
    before = getattr(row, column.field)
    text = before[column.member] if column.member else before
    if not is_sealed(text):
        return 0
    fresh = seal(unseal(text, purpose=column.purpose), purpose=column.purpose)
    after = {**before, column.member: fresh} if column.member else fresh
    rows = type(row)._base_manager.filter(pk=row.pk, **{column.field: before})
    return int(rows.update(**{column.field: after}))
