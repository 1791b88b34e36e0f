"""Remembers when devices could be reached; who is there now is so since it connected."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

import apps.core.ids
import apps.core.tenancy

# Row security holds for the owner too, who works in no organization: it is off for this statement.
_FILL = """
ALTER TABLE devices_device_state NO FORCE ROW LEVEL SECURITY;
INSERT INTO devices_device_presence (id, organization_id, device_id, online_at)
SELECT gen_random_uuid(), organization_id, device_id, connected_at FROM devices_device_state
WHERE connectivity IN ('online', 'degraded') AND connected_at IS NOT NULL;
ALTER TABLE devices_device_state FORCE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0008_add_smart_groups"),
        ("organizations", "0003_invite_export_and_delete"),
    ]

    operations = [
        migrations.CreateModel(
            name="DevicePresence",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=apps.core.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("online_at", models.DateTimeField()),
                ("offline_at", models.DateTimeField(null=True)),
                (
                    "device",
                    apps.core.tenancy.TenantForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="devices.device",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.organization",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "device presence",
                "db_table": "devices_device_presence",
                "abstract": False,
                "base_manager_name": "unscoped",
                "default_manager_name": "unscoped",
                "indexes": [
                    models.Index(
                        fields=["organization", "device", "online_at"], name="presence_by_device"
                    ),
                    models.Index(fields=["organization", "offline_at"], name="presence_by_end"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("offline_at", None)),
                        fields=("organization", "device"),
                        name="presence_open_once",
                    )
                ],
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
    ]
