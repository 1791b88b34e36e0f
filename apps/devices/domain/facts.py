"""What devices say about themselves is kept literally, save for what PostgreSQL cannot hold."""

from typing import Any

MAX_DETAIL_LENGTH = 1024
MAX_DETAILS = 300


def clean_text(text: str, limit: int) -> str:
    """`text` without NUL characters and surrounding white space, cut to `limit` characters."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").strip()[:limit]


def clean_details(details: dict[str, Any]) -> dict[str, Any]:
    """A mapping of texts, numbers, lists and mappings, each text cleaned, at most 300 entries."""
    kept = list(details.items())[:MAX_DETAILS]
    return {clean_text(str(name), 128): _clean(value) for name, value in kept}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value, MAX_DETAIL_LENGTH)
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value[:MAX_DETAILS]]
    if isinstance(value, dict):
        return clean_details(value)
    return value
