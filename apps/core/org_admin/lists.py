"""Lists that stay fast on big tables and name nothing of another organization."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.filters import RelatedFieldListFilter
from django.core.paginator import Paginator
from django.http import HttpRequest

from apps.core.org_admin.scoping import rows_seen

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

COUNTED_ROWS = 10_000
FILTER_CHOICES = 100

# What may follow a filter's field in the address.
LOOKUPS = frozenset({"exact", "in", "isnull", "isempty", "gt", "gte", "lt", "lte"})


class BoundedPaginator(_Paginator):
    """Counts at most `COUNTED_ROWS` rows: one page of a million rows costs as much as of ten."""

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: COUNTED_ROWS + 1].count())

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through."""
        return min(self._counted, COUNTED_ROWS)

    @property
    def has_more(self) -> bool:
        """Whether there are rows beyond: narrow the list to reach them."""
        return self._counted > COUNTED_ROWS


class ScopedRelatedFilter(RelatedFieldListFilter):
    """A filter by another row, which offers the first rows that the caller may see."""

    def has_output(self) -> bool:
        """A filter that the address names counts, also where there is nothing to choose from."""
        return bool(super().has_output() or self.used_parameters)

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Any:
        """Keys and names for the side bar."""
        rows = rows_seen(model_admin.admin_site, field.related_model, request)
        return [(row.pk, str(row)) for row in rows[:FILTER_CHOICES]]
