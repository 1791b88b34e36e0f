"""Forms of pages, as a browser would see them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

TEXTS = frozenset({"text", "search", "email", "hidden", "number", "password", "textarea", "url"})


@dataclass
class Field:
    """One field of a form: what it holds, and what could be chosen."""

    name: str
    kind: str
    values: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)


@dataclass
class Form:
    """One form: where it goes, how, and with what."""

    action: str
    method: str
    fields: dict[str, Field] = field(default_factory=dict)

    def filled(self, words: dict[str, str]) -> dict[str, Any]:
        """What a browser would send, with a word in each empty text field."""
        data: dict[str, Any] = {}
        for each in self.fields.values():
            if each.chosen:
                data[each.name] = each.chosen if len(each.chosen) > 1 else each.chosen[0]
            elif each.kind in TEXTS:
                data[each.name] = words.get(each.name.rstrip("-0123456789"), "")
            elif each.kind in ("select", "radio") and each.values:
                data[each.name] = next((v for v in each.values if v), "")
        return data


class FormReader(HTMLParser):
    """Collects the forms of one page."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._select: Field | None = None
        self._area: Field | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens forms and takes their fields."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._begin(values)
        elif self._open is None or "disabled" in values:
            return
        elif tag == "input" and values.get("name"):
            self._input(values)
        elif tag == "select" and values.get("name"):
            self._select = self._field(values["name"], "select")
        elif tag == "option" and self._select is not None:
            self._select.values.append(values.get("value", ""))
            if "selected" in values:
                self._select.chosen.append(values.get("value", ""))
        elif tag == "textarea" and values.get("name"):
            self._area = self._field(values["name"], "textarea")

    def handle_data(self, data: str) -> None:
        """The text of a text area."""
        if self._area is not None and data.strip():
            self._area.chosen = [data.strip()]

    def handle_endtag(self, tag: str) -> None:
        """Closes what it ends."""
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None

    def _begin(self, values: dict[str, str]) -> None:
        action, method = values.get("action", ""), values.get("method", "get")
        for name in ("post", "get"):
            if f"hx-{name}" in values:
                action, method = values[f"hx-{name}"], name
        self._open = Form(action or self.address, method.lower())
        self.forms.append(self._open)

    def _input(self, values: dict[str, str]) -> None:
        kind = values.get("type", "text").lower()
        if kind in ("submit", "button", "image", "file", "reset"):
            return
        made = self._field(values["name"], kind)
        value = values.get("value", "")
        made.values.append(value)
        if kind in ("checkbox", "radio"):
            if "checked" in values:
                made.chosen.append(value or "on")
        elif value:
            made.chosen = [value]

    def _field(self, name: str, kind: str) -> Field:
        form = self._open
        if form is None:
            raise RuntimeError("a field outside of a form")
        return form.fields.setdefault(name, Field(name, kind))


def forms_of(page: str, address: str) -> list[Form]:
    """The forms of a page that lies at an address."""
    reader = FormReader(address)
    reader.feed(page)
    return reader.forms
