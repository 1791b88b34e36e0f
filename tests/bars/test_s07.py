"""S07: given the application's database role, when raw SQL runs on every tenant table with no
organization set, then 0 rows; with A set, only A; INSERT and UPDATE to B fail; the role is neither
owner, superuser nor BYPASSRLS; the catalogue shows no tenant table without forced row security, no
materialised view, and no link between tenant tables that lacks the organization.
"""

from django.db import connection

from apps.core.guards import tenant_models
from fleetd.isolation import catalogue
from fleetd.isolation.report import DoorReport
from fleetd.isolation.sql import walk_sql
from fleetd.isolation.world import World


def test_s07_the_database_itself_keeps_organizations_apart(
    world: World, report: DoorReport
) -> None:
    walk_sql(world, report)
    assert (report.leaks, report.not_walked) == ([], [])
    assert report.operations == len(tenant_models()) + 1
    assert report.calls > 6 * len(tenant_models())


def test_s07_every_link_between_tables_of_organizations_is_held_by_the_database(
    django_db_setup: None, db: None
) -> None:
    tenants, loose = set(tenant_models()), []
    with connection.cursor() as cursor:
        for model in tenants:
            for field in model._meta.concrete_fields:
                if field.is_relation and field.related_model in tenants:
                    cursor.execute(catalogue.LINK, [field.column, model._meta.db_table])
                    if not cursor.fetchone():
                        loose.append(f"{model.__name__}.{field.name}")
    assert loose == []
