"""Writes changed tags and groups into their indexes at once.

By default they gather in a list that every search looks through until the table is vacuumed. Tags
and groups change now and then; they are searched with every page of people who see some groups.
"""

import django.contrib.postgres.indexes
from django.db import migrations

_INDEXES = {"device_by_tag": "tags", "device_by_group": "group_ids"}


def _change(name: str, field: str) -> migrations.SeparateDatabaseAndState:
    """The option alone is changed; the index is not built again."""
    index = django.contrib.postgres.indexes.GinIndex(fields=[field], name=name, fastupdate=False)
    return migrations.SeparateDatabaseAndState(
        [
            migrations.RunSQL(
                f"ALTER INDEX {name} SET (fastupdate = off)",
                f"ALTER INDEX {name} RESET (fastupdate)",
            )
        ],
        [migrations.RemoveIndex("device", name), migrations.AddIndex("device", index)],
    )


class Migration(migrations.Migration):
    dependencies = [("devices", "0006_remember_groups_of_devices")]

    operations = [_change(name, field) for name, field in _INDEXES.items()]
