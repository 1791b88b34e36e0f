"""Raw SQL as the application's role: what the database itself refuses, whatever the code does."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, models, transaction

from apps.core.guards import tenant_models
from apps.core.tenancy import ORGANIZATION_SETTING, tenant
from fleetd.isolation import catalogue
from fleetd.isolation.declarations import GLOBAL_TABLES
from fleetd.isolation.report import DoorReport
from fleetd.isolation.web_calls import undone
from fleetd.isolation.world import World, kind_of

# ruff: noqa: S608  the texts are made of names of tables and columns, which are ours

BY_RIGHT = "42501"
BY_LINK = "23503"
BY_OTHERS = {"23505", "23514"}  # unique or checked columns, which are looked at before links


@dataclass
class SqlWalk:
    """Walks tables as the application's role."""

    world: World
    report: DoorReport

    def walk(self, model: type[models.Model]) -> None:
        """Everything that one table must refuse."""
        table = model._meta.db_table
        self.report.begin(table)
        self._unscoped(table)
        with tenant(self.world.ours.id):
            self._reading(table)
            self._writing(table, model)
            self._linking(table, model)

    def _unscoped(self, table: str) -> None:
        with transaction.atomic():
            seen = self._rows(f'SELECT count(*) FROM "{table}"')[0][0]
        if seen:
            self.report.leak(table, f"shows {seen} rows without any organization")
        self._refuses(table, "takes rows without any organization", *self._copy(table))

    def _reading(self, table: str) -> None:
        foreign = self._rows(
            f'SELECT count(*) FROM "{table}" WHERE organization_id <> %s', [self.world.ours.id]
        )
        own = self._rows(f'SELECT count(*) FROM "{table}"')
        if foreign[0][0]:
            self.report.leak(table, f"shows {foreign[0][0]} rows of other organizations")
        if not own[0][0]:
            self.report.skip(table, "there is no row of our own to look at")

    def _writing(self, table: str, model: type[models.Model]) -> None:
        theirs, key = self.world.theirs.id, model._meta.pk.column
        same, where = f'"{key}" = "{key}"', "WHERE organization_id = %s"
        changes = {
            "lets rows of theirs be changed": f'UPDATE "{table}" SET {same} {where}',
            "lets rows of theirs be deleted": f'DELETE FROM "{table}" {where}',
        }
        for what, statement in changes.items():
            self._touches_nothing(table, what, statement, [theirs])
        own = self.world.ours.id
        give = f'UPDATE "{table}" SET organization_id = %s WHERE organization_id = %s'
        self._refuses(table, "lets rows be given to another organization", give, [theirs, own])
        self._refuses(table, "takes rows for another organization", *self._copy(table))

    def _linking(self, table: str, model: type[models.Model]) -> None:
        """A row of ours cannot point at a row of theirs."""
        tenants = set(tenant_models())
        for field in model._meta.concrete_fields:
            if not field.is_relation or field.related_model not in tenants:
                continue
            target = field.related_model._meta.db_table
            foreign = self.world.theirs.of(kind_of(field.related_model))
            if not foreign:
                self.report.skip(f"{table}.{field.column}", f"theirs has no row in {target}")
                continue
            point = (
                f'UPDATE "{table}" SET "{field.column}" = %s'
                f' WHERE ctid = (SELECT ctid FROM "{table}" LIMIT 1)'
            )
            what = f"may point at rows of theirs by {field.column}"
            by = {BY_RIGHT, BY_LINK} | (BY_OTHERS if self._has_link(table, field.column) else set())
            self._refuses(table, what, point, foreign[:1], by)

    def _has_link(self, table: str, column: str | None) -> bool:
        """Whether the database holds the link to the same organization, by its catalogue."""
        return bool(self._rows(catalogue.LINK, [column, table]))

    def _copy(self, table: str) -> tuple[str, list[Any]]:
        """A statement that makes a row of theirs, whether or not the rest of it is sensible."""
        return f'INSERT INTO "{table}" (organization_id) VALUES (%s)', [self.world.theirs.id]

    def _refuses(
        self,
        table: str,
        what: str,
        statement: str,
        values: Sequence[Any],
        by: Collection[str] = (BY_RIGHT,),
    ) -> None:
        """The statement fails, and for this reason: not because something else was missing.

        Row security speaks before any other constraint does.
        """

        def run(cursor: Any) -> bool:
            cursor.execute(statement, values)
            changed = bool(cursor.rowcount)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            return changed

        refused = self._failure(run)
        if refused is True:
            self.report.leak(table, what)
        elif refused and refused not in by:
            self.report.leak(table, f"{what}, if not for error {refused}")

    def _touches_nothing(self, table: str, what: str, statement: str, values: list[Any]) -> None:
        def run(cursor: Any) -> bool:
            cursor.execute(statement, values)
            return bool(cursor.rowcount)

        if self._failure(run) is True:
            self.report.leak(table, what)

    def _failure(self, run: Callable[[Any], bool]) -> bool | str:
        """Whether it changed anything; where it failed, the code of the error."""
        self.report.calls += 1
        try:
            with undone(), connection.cursor() as cursor:
                return run(cursor)
        except DatabaseError as error:
            return str(getattr(error.__cause__, "sqlstate", "") or type(error).__name__)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.report.calls += 1
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _erase(walk: SqlWalk) -> None:
    """The functions that work as their owner do nothing to theirs, from ours."""
    for name in catalogue.DEFINERS:
        with tenant(walk.world.ours.id):
            values = [walk.world.theirs.id]
            walk._refuses(f"function {name}", "works on theirs", f"SELECT {name}(%s)", values)


def walk_sql(
    world: World, report: DoorReport, chosen: list[type[models.Model]] | None = None
) -> None:
    """Walks the tables, then asks the catalogue about what no query shows."""
    walk = SqlWalk(world, report)
    for model in tenant_models() if chosen is None else chosen:
        walk.walk(model)
    _erase(walk)
    report.begin("catalogue")
    with connection.cursor() as cursor:
        for where, what in catalogue.findings(cursor, settings.DATABASE_APP_ROLE):
            report.leak(where, what)
        for table in catalogue.loose_tables(cursor):
            if table not in GLOBAL_TABLES:
                report.skip(f"table {table}", "has no organization_id and no reason for that")
    report.calls += catalogue.QUESTIONS
    setting = walk._rows("SELECT current_setting(%s, true)", [ORGANIZATION_SETTING])[0][0]
    if setting:
        report.leak("connection", f"keeps {ORGANIZATION_SETTING} after its transaction")
