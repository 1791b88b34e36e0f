"""Pages with addresses and forms: what the web UI and the admin have in common."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from django.views.generic import RedirectView

from apps.core.rest.views import UnknownResource
from fleetd.isolation import hints
from fleetd.isolation.answers import Answer, difference, shape
from fleetd.isolation.forms import Field, Form, forms_of
from fleetd.isolation.positions import foreign_ids, kinds_named, names_an_object, own_candidates
from fleetd.isolation.rest import changed_tables, is_rest
from fleetd.isolation.web_calls import (
    Address,
    Caller,
    Probe,
    addresses,
    anchors,
    nobody,
    undone,
)
from fleetd.isolation.world import UUID_TEXT, World

ADMIN = "admin/"
METHODS = ("get", "post")
MOST_OWN = 10


@dataclass(frozen=True)
class Page:
    """One method of one address of pages."""

    method: str
    address: Address

    def __str__(self) -> str:
        return f"{self.method} {self.address}"


def pages(*, of_admin: bool) -> list[Page]:
    """Every method of every address that is not REST; the admin's or all others."""
    return [
        Page(method.upper(), address)
        for address in addresses()
        if address.pattern.startswith(ADMIN) is of_admin and not _is_api(address)
        for method in methods_of(address.view)
    ]


def _is_api(address: Address) -> bool:
    return is_rest(address.view) or getattr(address.view, "cls", None) is UnknownResource


def methods_of(view: object) -> list[str]:
    """The methods that a view has; of a function that cannot be known, so both are tried."""
    kind = getattr(view, "view_class", None)
    return [m for m in METHODS if kind is None or hasattr(kind, m)]


@dataclass
class PageWalk:
    """Walks pages as one caller."""

    world: World
    caller: Caller
    before: dict[str, str]
    few: bool
    words: dict[str, object] = field(default_factory=dict)
    seen_forms: set[tuple[str, str, frozenset[str]]] = field(default_factory=set)
    known_own: dict[str, dict[str, str]] = field(default_factory=dict)

    def walk(self, page: Page) -> None:
        """Path, query and forms of one page; whatever it did is taken back."""
        with undone():
            probe = Probe(self.world, self.caller, str(page))
            own = self.own(page)
            for name in page.address.names:
                self._walk_path(probe, page, name, own)
            if page.method == "GET":
                answer = self.send(page, own)
                probe.look(answer, f"{page} ({self.caller.name})", *own.values())
                self._walk_query(probe, page, own)
                for form in forms_of(answer.text, page.address.at(own)):
                    self._walk_form(form, page)
            self.look_at_rows(str(page))

    def _walk_path(self, probe: Probe, page: Page, name: str, own: dict[str, str]) -> None:
        address = page.address
        around = address.around(name)

        def send(value: str) -> Answer:
            return self.send(page, {**own, name: value})

        foreign = foreign_ids(
            self.world.theirs, name, around, few=self.few or page.method == "POST"
        )
        fitting = {k: v for k, v in foreign.items() if address.accepts(name, v)}
        likely = [own[name], *own_candidates(self.world.ours, name, around)]
        ours = [v for v in dict.fromkeys(likely) if address.accepts(name, v)]
        only_leads = getattr(address.view, "view_class", None) is RedirectView
        is_proof = only_leads or name in hints.WORDS_IN_PATHS
        is_proof = is_proof or address.name in hints.PATHS_WITHOUT_IDS
        probe.compare(f"{{{name}}}", send, fitting, [] if is_proof else ours[:MOST_OWN])

    def _walk_query(self, probe: Probe, page: Page, own: dict[str, str]) -> None:
        """Every name that could be a filter, all at once, with ids of theirs and of nobody."""
        theirs, never = {}, {}
        for name in self._names():
            found = [v for kind in kinds_named(name) for v in self.world.theirs.of(kind)]
            if not any(value.isdigit() for value in found):
                theirs[name] = found[0] if found else str(self.world.theirs.id)
                never[name] = nobody()
        shapes = []
        for query in (never, theirs, never):
            answer = self.caller.call("GET", page.address.at(own), query=query)
            probe.look(answer, f"{page} query", *query.values())
            shapes.append(shape(answer, self.world, *query.values()))
        if shapes[0] == shapes[2] != shapes[1]:
            probe.report.leak(f"{page} query", difference(shapes[1], shapes[0]))

    def _names(self) -> Iterator[str]:
        for kind in sorted({*self.world.theirs.kinds, *hints.ALIASES}):
            yield kind
            yield f"{kind}_id"

    def _walk_form(self, form: Form, page: Page) -> None:
        path = urlsplit(
            urljoin(page.address.at({}) if not page.address.names else "/", form.action)
        )
        place = UUID_TEXT.sub("_", path.path)
        key = (form.method, place, frozenset(form.fields))
        if key in self.seen_forms or not path.path.startswith("/"):
            return
        self.seen_forms.add(key)
        for each in form.fields.values():
            if self._holds_ids(each):
                self._walk_form_field(form, each, path.path, place)

    def _walk_form_field(self, form: Form, each: Field, path: str, place: str) -> None:
        probe = Probe(self.world, self.caller, f"form {form.method.upper()} {place}")
        base = form.filled(hints.WORDS)

        form_of_value = self._form_of_value(each)

        def send(value: str) -> Answer:
            data = {**base, each.name: form_of_value.format(value)}
            if form.method == "get":
                return self.caller.call("GET", path, query=data)
            return self.post(path, data)

        name = each.name.rstrip("-0123456789")
        foreign = foreign_ids(self.world.theirs, name, few=True)
        own = [i for v in each.values for i in UUID_TEXT.findall(v) if i in self.world.ours.own_ids]
        own += own_candidates(self.world.ours, name)[:6]
        is_open = each.name in hints.FIELDS_THAT_MAY_NOT_MATTER
        probe.compare(each.name, send, foreign, [] if is_open else own)

    def _holds_ids(self, each: Field) -> bool:
        name = each.name.rstrip("-0123456789")
        if self._own_within(each):
            return True
        if name in hints.NO_IDS or each.kind in ("select", "radio", "checkbox"):
            return False
        return names_an_object(name) or name.removesuffix("s") in {
            *self.world.ours.kinds,
            *hints.ALIASES,
        }

    def _own_within(self, each: Field) -> str:
        """The first value of a field that has an own id in it."""
        ours = self.world.ours.own_ids
        return next((v for v in each.values if ours & set(UUID_TEXT.findall(v))), "")

    def _form_of_value(self, each: Field) -> str:
        """How the field writes ids: bare, or with a word before them."""
        return UUID_TEXT.sub("{}", self._own_within(each)) or "{}"

    def send(self, page: Page, ids: dict[str, str]) -> Answer:
        """One request for a page; a form goes with words for what pages commonly ask."""
        path = page.address.at(ids)
        if page.method == "GET":
            return self.caller.call("GET", path)
        return self.post(path, self._words())

    def _words(self) -> dict[str, object]:
        """An own object under each name that a form may ask for, and common words."""
        if not self.words:
            for name in sorted({*self.world.ours.kinds, *hints.ALIASES}):
                found = [v for kind in kinds_named(name) for v in self.world.ours.of(kind)]
                self.words |= {name: found[0]} if found else {}
            self.words |= hints.FORM
        return self.words

    def post(self, path: str, data: dict[str, object]) -> Answer:
        """Sends a form. What a successful one did is compared and taken back at once."""
        with undone():
            answer = self.caller.call("POST", path, form=data)
            if answer.status[0] in "23":
                self.look_at_rows(f"POST {path}")
        return answer

    def look_at_rows(self, where: str) -> None:
        """Whether anything of theirs is not as it was."""
        changed = changed_tables(self.before, self.world.theirs.checksum())
        changed = [t for t in changed if t not in hints.CHANGES_OF_ANYBODY.get(where, {})]
        if changed:
            self.caller.report.leak(where, f"changes rows of theirs in {', '.join(changed)}")

    def own(self, page: Page) -> dict[str, str]:
        """Own ids for the path with which the page shows something."""
        address = page.address
        if not address.names:
            return {}
        words = {n: w for n, w in hints.FITTING_WORDS.items() if n in address.names}
        missing = {name: nobody("1" if kind == "int" else "") for name, kind in address.parameters}
        missing |= words
        unlike = shape(self.send(page, missing), self.world, *missing.values())
        first: dict[str, str] = {}
        for likely in self._likely(address):
            ids = {**likely, **words}
            first = first or ids
            if shape(self.send(page, ids), self.world, *ids.values()) != unlike:
                self.known_own[str(address)] = ids
                return ids
        return first or missing

    def _likely(self, address: Address) -> Iterator[dict[str, str]]:
        """Own ids to try: those that another method of the address, or its parent, has found."""
        known = [self.known_own.get(each) for each in (str(address), _parent(address))]
        yield from (ids for ids in known if ids and ids.keys() == set(address.names))
        yield from anchors(self.world.ours, address.names, address.around, address.accepts)


def _parent(address: Address) -> str:
    """The address up to its last parameter: of `/devices/{id}/change/` it is `/devices/{id}/`."""
    before, brace, _after = str(address).rpartition("}")
    return f"{before}{brace}/"
