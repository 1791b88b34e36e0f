"""The rows that object grants point at, derived from the declared permissions."""

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from apps.core.authz import declared
from apps.devices.access import OBJECT_MODELS, grantable_on


def store_permission_rows(_actor: None = None) -> None:
    """Makes a row for each permission and kind of object that it can be granted on.

    Runs as the schema's owner after each migration; repeating it changes nothing. A row whose
    permission is declared no more stays, and no grant of it counts.
    """
    if Permission._meta.db_table not in connection.introspection.table_names():
        return
    descriptions = {name: permission.description for name, permission in declared().items()}
    Permission.objects.bulk_create(
        (
            Permission(content_type=kind_row, codename=name, name=descriptions[name][:255])
            for kind, model in OBJECT_MODELS.items()
            for kind_row in [ContentType.objects.get_for_model(model)]
            for name in sorted(grantable_on(kind))
        ),
        update_conflicts=True,
        unique_fields=["content_type", "codename"],
        update_fields=["name"],
    )
