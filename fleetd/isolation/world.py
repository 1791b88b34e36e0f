"""Two full organizations: ours, whose people call, and theirs, which must stay out of reach."""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection, models

from apps.accounts.models import User
from apps.accounts.services.signing_keys import ensure_signing_keys
from apps.core.guards import tenant_models
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from fleetd.isolation.furniture import Furnished, furnish
from fleetd.isolation.rows import RowMaker

KEPT_PER_TABLE = 3
MARKED_ROWS = 5000
UUID_TEXT = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


@dataclass
class Side:
    """One organization: its people, its rows, and what tells that they are its own."""

    mark: str
    furnished: Furnished
    ids: dict[str, str] = field(default_factory=dict)
    own_ids: frozenset[str] = frozenset()
    unfilled: dict[str, str] = field(default_factory=dict)
    _people: list[User] = field(default_factory=list)
    _checksums: tuple[str, list[Any]] | None = None

    @property
    def id(self) -> UUID:
        """The organization's id."""
        return self.furnished.organization_id

    @property
    def people(self) -> list[User]:
        """Everybody who belongs to it, programs' accounts too."""
        if not self._people:
            with tenant(self.id):
                members = Membership.objects.for_org(self.id).select_related("user")
                self._people = [each.user for each in members.order_by("id")]
        return self._people

    def of(self, kind: str) -> list[str]:
        """The ids of one kind, however its words are joined."""
        wanted = kind.replace("_", "")
        return [v for k, v in self.ids.items() if k.partition("#")[0].replace("_", "") == wanted]

    @property
    def kinds(self) -> set[str]:
        """The kinds of objects that there are."""
        return {kind.partition("#")[0] for kind in self.ids}

    def note_rows(self) -> None:
        """Reads which rows there are now: some of each table as ids to try, all as marks."""
        self.ids, everything = {}, set()
        with tenant(self.id):
            for model, rows in self._tables():
                keys = [str(key) for key in rows.order_by("pk").values_list("pk", flat=True)]
                everything.update(keys[:MARKED_ROWS])
                shown = dict.fromkeys([*keys[: KEPT_PER_TABLE - 1], *keys[-1:]])
                for number, key in enumerate(shown):
                    self.ids[f"{kind_of(model)}#{number}"] = key
        self.own_ids = frozenset(k for k in everything if UUID_TEXT.fullmatch(k))

    def checksum(self) -> dict[str, str]:
        """A checksum over the organization's rows of every table, seen from here and now."""
        if self._checksums is None:
            self._checksums = self._checksum_statement()
        with tenant(self.id), connection.cursor() as cursor:
            cursor.execute(*self._checksums)
            return {table: text or "" for table, text in cursor.fetchall()}

    def _checksum_statement(self) -> tuple[str, list[Any]]:
        """One statement over all tables; it is made once, because it is asked after each change."""
        parts, values = [], []
        for model, rows in self._tables():
            sql, given = rows.order_by().query.sql_with_params()
            parts.append(
                f"SELECT '{model._meta.db_table}',"  # noqa: S608  names of tables, which are ours
                f" md5(string_agg(t::text, '|' ORDER BY t::text)) FROM ({sql}) AS t"
            )
            values += given
        return " UNION ALL ".join(parts), values

    def _tables(self) -> Iterator[tuple[type[models.Model], Any]]:
        for model in tenant_models():
            yield model, model.objects.for_org(self.id)
        yield from _of_people(self.people)
        organization = apps.get_model("organizations", "Organization")
        yield organization, organization._default_manager.filter(id=self.id)


def _of_people(people: list[User]) -> Iterator[tuple[type[models.Model], Any]]:
    """Tables that belong to persons rather than to organizations: sign-ins, factors, accounts."""
    keys = [person.pk for person in people]
    yield User, User.objects.filter(pk__in=keys)
    tenants = set(tenant_models())
    for model in apps.get_models():
        links = [f.name for f in model._meta.concrete_fields if f.related_model is User]
        if links and model not in tenants and model._meta.managed:
            yield model, model._default_manager.filter(**{f"{links[0]}__in": keys})


@dataclass
class World:
    """Both organizations."""

    ours: Side
    theirs: Side

    def marks_in(self, text: str, sent: frozenset[str]) -> list[str]:
        """What in a text could only come from theirs; what was sent may be repeated."""
        low = text.lower()
        found = [mark for mark in (self.theirs.mark,) if mark in low and mark not in sent]
        return found + sorted((set(UUID_TEXT.findall(low)) & self.theirs.own_ids) - sent)


def build_world() -> World:
    """Makes both. Whatever no service has filled gets a row made from its model."""
    ensure_signing_keys()  # else each answer would make, and take back, keys of its own
    return World(_side(f"ours{secrets.token_hex(3)}"), _side(f"theirs{secrets.token_hex(3)}"))


def _side(mark: str) -> Side:
    side = Side(mark, furnish(mark))
    with tenant(side.id):
        rows = RowMaker(side.id, mark, side.furnished.owner)
        rows.fill()
        for model, _rows in _of_people(side.people):
            rows.fill_one(model)
    side.unfilled = {m._meta.db_table: why for m, why in rows.failures.items()}
    side.note_rows()
    return side


def kind_of(model: type[models.Model]) -> str:
    """`device_group` for DeviceGroup."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", model.__name__).lower()
