"""Values in lists and pages, drawn with the product's own template tags.

Templates reach up to the tags of the web app; this module cannot import them.
"""

import json
from typing import Any

from django.db.models import Model
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString


def badge(kind: str, value: str) -> SafeString:
    """A state of a lifecycle, rollout, phase, deployment or token as icon and word."""
    return render_to_string("admin/cells/badge.html", {"kind": kind, "value": value})


def when(moment: Any, *, future: bool = False) -> SafeString:
    """A moment, relative in the text and exact on hover."""
    return render_to_string("admin/cells/when.html", {"moment": moment, "future": future})


def tags(values: list[str]) -> SafeString:
    """A row of tags."""
    return render_to_string("admin/cells/tags.html", {"values": values})


def digest(value: bytes | memoryview | str) -> SafeString:
    """A digest, shortened, with the whole of it on hover."""
    text = value if isinstance(value, str) else bytes(value).hex()
    return format_html('<code title="{}">{}</code>', text, text[:16])


class FieldView:
    """A field of a page as we show it: a read-only field for Django's admin."""

    def __init__(self, name: str, label: str) -> None:
        self.name = name
        self.__name__ = name
        self.short_description = label

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldView) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __call__(self, obj: Model) -> SafeString | str:
        """The field's value of one row."""
        value = getattr(obj, self.name)
        return self.show(value) if value else "–"

    def show(self, value: Any) -> SafeString:
        """A value that is there."""
        raise NotImplementedError


class MomentView(FieldView):
    """A moment, to the second."""

    def show(self, value: Any) -> SafeString:
        """Exact and relative."""
        return render_to_string("admin/cells/moment.html", {"moment": value})


class JsonView(FieldView):
    """JSON, indented."""

    def show(self, value: Any) -> SafeString:
        """As text that breaks where it must."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
        return format_html('<pre class="json">{}</pre>', text)
