"""A refused filter as a page shows it."""

from dataclasses import dataclass

from apps.core.filters.errors import FilterError


@dataclass(frozen=True, slots=True)
class ShownError:
    """A filter in three pieces, the middle one of which is wrong; `mended` may be tried instead."""

    before: str
    wrong: str
    after: str
    message: str
    mended: str
    is_unfinished: bool


def shown_error(text: str, error: FilterError) -> ShownError:
    """What a page shows of a refused filter. Half of one is nothing wrong yet."""
    start, end = error.column - 1, error.end
    before, wrong, after = text[:start], text[start:end], text[end:]
    return ShownError(
        before,
        wrong,
        after,
        error.message,
        f"{before}{error.suggestion}{after}" if error.suggestion else "",
        not wrong,
    )
