"""The one way to erase an organization: a function of the database, derived from the models.

The application's role cannot delete what is append-only, and has no reason to be able to. It may
call this function, which runs as the schema's owner, inside row security like everybody else, for
the organization that the caller is in, once its time of grace is over. A trigger keeps the
application from shortening that time.
"""

# ruff: noqa: S608  the texts are made of names of tables and columns, which are ours

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import CASCADE, PROTECT, SET_NULL, ForeignKey, Model

from apps.core.tenancy import ORGANIZATION_SETTING, OrgOwnedModel

FUNCTION = "fleetd_erase_organization"
GRACE_FUNCTION = "fleetd_keep_grace"
MINIMUM_GRACE = "1 day"


def statements(models: Sequence[type[OrgOwnedModel]], app_role: str) -> list[str]:
    """What makes both functions as they have to be for these tenant tables."""
    organization = apps.get_model("organizations", "Organization")
    if organization._meta.db_table not in connection.introspection.table_names():
        return []
    return [
        *_grace(organization),
        f"DROP FUNCTION IF EXISTS {FUNCTION}(uuid)",
        _function(organization, models),
        *_rights(app_role),
    ]


def erasure_order(models: Sequence[type[Model]]) -> list[type[Model]]:
    """The models, each before those that it refers to. Raises where they refer in a circle."""
    left, ordered = list(models), []
    while left:
        free = [m for m in left if not any(m in _targets(o) for o in left if o is not m)]
        if not free:
            names = ", ".join(sorted(m.__name__ for m in left))
            raise RuntimeError(f"these tables refer to each other in a circle: {names}")
        ordered += free
        left = [m for m in left if m not in free]
    return ordered


def _targets(model: type[Model]) -> set[type[Model]]:
    return {field.related_model for field in _links(model)}


def _links(model: type[Model]) -> list[Any]:
    return [f for f in model._meta.local_fields if isinstance(f, ForeignKey)]


def _function(organization: type[Model], models: Sequence[type[OrgOwnedModel]]) -> str:
    steps = [
        f"DELETE FROM {_name(m._meta.db_table)} WHERE organization_id = erased_id"
        for m in erasure_order(models)
    ]
    counted = "\n".join(
        f"  {step};\n  GET DIAGNOSTICS n = ROW_COUNT; total := total + n;" for step in steps
    )
    others = "\n".join(f"  {step};" for step in _beyond_tenants(organization, set(models)))
    table = _name(organization._meta.db_table)
    return f"""
CREATE FUNCTION {FUNCTION}(erased_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  is_due boolean;
  n bigint;
  total bigint := 0;
BEGIN
  IF erased_id IS DISTINCT FROM
    nullif(current_setting('{ORGANIZATION_SETTING}', true), '')::uuid
  THEN
    RAISE EXCEPTION 'an organization is erased from within only'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  SELECT status = 'deleting' AND deletes_at <= clock_timestamp() INTO is_due
    FROM {table} WHERE id = erased_id FOR UPDATE;
  IF is_due IS NOT TRUE THEN
    RAISE EXCEPTION 'this organization is not due to be erased'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
{counted}
{others}
  DELETE FROM {table} WHERE id = erased_id;
  RETURN total;
END $$"""


def _beyond_tenants(organization: type[Model], tenants: set[type[Any]]) -> Iterator[str]:
    """Tables that are no tenant's and refer to an organization: what is bound to it goes too."""
    for model in apps.get_models():
        if model in tenants or not model._meta.managed:
            continue
        for field in _links(model):
            if field.related_model is organization:
                where = f"{_name(field.column)} = erased_id"
                yield from _let_go(model, field, where, tenants)


def _let_go(model: type[Model], field: Any, where: str, tenants: set[type[Any]]) -> Iterator[str]:
    """Deletes or unlinks the rows that a condition finds, those that depend on them first."""
    table, rule = _name(model._meta.db_table), field.remote_field.on_delete
    if rule is SET_NULL:
        yield f"UPDATE {table} SET {_name(field.column)} = NULL WHERE {where}"
        return
    if rule not in (CASCADE, PROTECT):
        raise RuntimeError(f"{model.__name__}.{field.name} must cascade, protect or be set to null")
    chosen = f"SELECT {_name(model._meta.pk.column)} FROM {table} WHERE {where}"
    for other in apps.get_models():
        if other in tenants or not other._meta.managed or other is model:
            continue
        for link in _links(other):
            if link.related_model is model:
                yield from _let_go(other, link, f"{_name(link.column)} IN ({chosen})", tenants)
    yield f"DELETE FROM {table} WHERE {where}"


def _grace(organization: type[Model]) -> list[str]:
    """Whoever is not the owner of the schema sets the end of the grace to a day from now or later.

    Without it, code that can change the row could erase any organization at once.
    """
    table = _name(organization._meta.db_table)
    return [
        f"""
CREATE OR REPLACE FUNCTION {GRACE_FUNCTION}() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF NEW.status = 'deleting' AND NEW.deletes_at < clock_timestamp() + interval '{MINIMUM_GRACE}'
    AND (TG_OP = 'INSERT' OR OLD.deletes_at IS DISTINCT FROM NEW.deletes_at)
    AND NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE')
  THEN
    RAISE EXCEPTION 'an organization is not erased before {MINIMUM_GRACE} has passed'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN NEW;
END $$""",
        f"DROP TRIGGER IF EXISTS {GRACE_FUNCTION} ON {table}",
        f"CREATE TRIGGER {GRACE_FUNCTION} BEFORE INSERT OR UPDATE OF status, deletes_at ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION {GRACE_FUNCTION}()",
    ]


def _rights(app_role: str) -> list[str]:
    role = connection.ops.quote_name(app_role)
    return [
        f"REVOKE ALL ON FUNCTION {FUNCTION}(uuid) FROM PUBLIC",
        f"""
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{app_role}') THEN
    GRANT EXECUTE ON FUNCTION {FUNCTION}(uuid) TO {role};
  END IF;
END $$""",
    ]


def _name(name: str | None) -> str:
    if not name:
        raise ValueError("a table or column without a name")
    return connection.ops.quote_name(name)
