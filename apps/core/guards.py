"""The database's own tenancy guards, derived from the models after each migration.

For every tenant table: row level security (enabled, forced, one permissive base and the
RESTRICTIVE organization check), a tenant key `UNIQUE (organization_id, id)` unless the model does
without, and composite foreign keys. For the application and auditor roles: exactly the rights they
need. Running it again changes nothing.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model

from apps.core import erasure
from apps.core.tenancy import (
    ORGANIZATION_SETTING,
    OrgOwnedModel,
    TenantForeignKey,
    TenantOneToOneField,
)

# What only migrations write: the application must not be able to hide that something is missing.
OWNERS_TABLES = ("core_installed_guard", "django_migrations", "auth_permission")

# Other ways to give rights, that Django and django-guardian bring along and nothing here reads.
# They stay empty: the application can put nothing in. It may delete, as Django does with a person.
EMPTY_TABLES = (
    "accounts_user_groups",
    "accounts_user_user_permissions",
    "auth_group",
    "auth_group_permissions",
    "guardian_groupobjectpermission",
    "guardian_userobjectpermission",
)


def tenant_models() -> list[type[OrgOwnedModel]]:
    """Every concrete model whose rows belong to an organization."""
    return [m for m in apps.get_models() if issubclass(m, OrgOwnedModel) and m._meta.managed]


def install_guards(**_: Any) -> None:
    """Brings every tenant table's guards up to date. Called after `migrate`, as the owner."""
    existing = set(connection.introspection.table_names())
    models = [m for m in tenant_models() if m._meta.db_table in existing]
    with transaction.atomic(), connection.cursor() as cursor:
        for model in models:
            if _run_once(cursor, model, "key", _tenant_key(model)):
                _forget_foreign_keys(cursor)
            _run_once(cursor, model, "policy", _policies(model))
        for model in models:
            for name, statements in _foreign_keys(model):
                _run_once(cursor, model, name, statements)
        _grant_roles(cursor, models)
        for statement in erasure.statements(models, settings.DATABASE_APP_ROLE):
            cursor.execute(statement)


def _run_once(cursor: Any, model: type[Model], name: str, statements: list[str]) -> bool:
    """Runs statements unless this very table remembers having had exactly these.

    The table's object id is part of what is remembered: a table that was dropped and made again
    gets its guards again.
    """
    table = model._meta.db_table
    cursor.execute("SELECT to_regclass(%s)::oid", [_quoted(table)])
    text = "\n".join([str(cursor.fetchone()[0]), *statements])
    digest = hashlib.sha256(text.encode()).hexdigest()
    cursor.execute(
        "SELECT digest FROM core_installed_guard WHERE table_name = %s AND guard_name = %s",
        [table, name],
    )
    row = cursor.fetchone()
    if row and row[0] == digest:
        return False
    for statement in statements:
        cursor.execute(statement)
    cursor.execute(
        "INSERT INTO core_installed_guard (table_name, guard_name, digest) VALUES (%s, %s, %s)"
        " ON CONFLICT (table_name, guard_name) DO UPDATE SET digest = EXCLUDED.digest",
        [table, name, digest],
    )
    return True


def _forget_foreign_keys(cursor: Any) -> None:
    """A new tenant key took the links to it away with the old one: all are made again."""
    cursor.execute("DELETE FROM core_installed_guard WHERE guard_name NOT IN ('key', 'policy')")


def _quoted(name: str | None) -> str:
    if not name:
        raise ValueError("a table or column without a name")
    return connection.ops.quote_name(name)


def _tenant_key(model: type[OrgOwnedModel]) -> list[str]:
    table, primary = model._meta.db_table, model._meta.pk.column
    key = _quoted(f"{table}_tenant_key")
    drop = f"ALTER TABLE {_quoted(table)} DROP CONSTRAINT IF EXISTS {key} CASCADE"
    add = f"ALTER TABLE {_quoted(table)} ADD CONSTRAINT {key}"
    columns = f"UNIQUE (organization_id, {_quoted(primary)})"
    return [drop, f"{add} {columns}"] if model.has_tenant_key else [drop]


def _policies(model: type[OrgOwnedModel]) -> list[str]:
    """Row security of one table. An unset setting reads as NULL, which matches nothing."""
    table = _quoted(model._meta.db_table)
    own = f"organization_id = nullif(current_setting('{ORGANIZATION_SETTING}', true), '')::uuid"
    seen = [own] + [
        f"{_quoted(column)}::text = nullif(current_setting('{setting}', true), '')"
        for column, setting in sorted(model.visible_by.items())
    ]
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"DROP POLICY IF EXISTS tenant_base ON {table}",
        f"CREATE POLICY tenant_base ON {table} AS PERMISSIVE USING (true) WITH CHECK (true)",
        f"DROP POLICY IF EXISTS tenant_isolation ON {table}",
        f"CREATE POLICY tenant_isolation ON {table} AS RESTRICTIVE"
        f" USING ({' OR '.join(seen)}) WITH CHECK ({own})",
    ]


def _foreign_keys(model: type[OrgOwnedModel]) -> Iterator[tuple[str, list[str]]]:
    """Composite constraints of the table's links to other tenant rows."""
    table = model._meta.db_table
    for field in model._meta.local_fields:
        if not isinstance(field, TenantForeignKey | TenantOneToOneField):
            continue
        target = field.remote_field.model._meta
        name = f"{table}_{field.column}_tenant_fk"[:63]
        yield (
            name,
            [
                f"ALTER TABLE {_quoted(table)} DROP CONSTRAINT IF EXISTS {_quoted(name)}",
                f"ALTER TABLE {_quoted(table)} ADD CONSTRAINT {_quoted(name)}"
                f" FOREIGN KEY (organization_id, {_quoted(field.column)})"
                f" REFERENCES {_quoted(target.db_table)}"
                f" (organization_id, {_quoted(target.pk.column)})",
            ],
        )


def _grant_roles(cursor: Any, models: list[type[OrgOwnedModel]]) -> None:
    """Rights of the application (rows only, append-only where said) and of the auditor (reads)."""
    app, auditor = settings.DATABASE_APP_ROLE, settings.DATABASE_AUDITOR_ROLE
    cursor.execute("SELECT rolname FROM pg_roles WHERE rolname IN (%s, %s)", [app, auditor])
    roles = {row[0] for row in cursor.fetchall()}
    if app in roles:
        role = _quoted(app)
        cursor.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        )
        cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
        for model in models:
            if model.append_only:
                table = _quoted(model._meta.db_table)
                cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")
        for table in OWNERS_TABLES:
            cursor.execute(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")
        for table in EMPTY_TABLES:
            cursor.execute(f"REVOKE INSERT, UPDATE, TRUNCATE ON {table} FROM {role}")
    if auditor in roles:
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {_quoted(auditor)}")
