"""The filter language: one grammar, and one whitelist of fields for each kind of record.

`parse` reads a text; the `Filter` makes the query and judges single records by the same rules.
"""

from apps.core.filters.errors import FilterError as FilterError
from apps.core.filters.fields import Field as Field
from apps.core.filters.fields import Fields as Fields
from apps.core.filters.filter import Context as Context
from apps.core.filters.filter import Filter as Filter
from apps.core.filters.filter import Finding as Finding
from apps.core.filters.filter import Moment as Moment
from apps.core.filters.filter import parse as parse
