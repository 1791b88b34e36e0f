import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

import apps.core.ids
import apps.core.tenancy


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0003_invite_export_and_delete"),
        ("updates", "0008_count_starts_per_minute"),
    ]

    operations = [
        migrations.AddField(
            model_name="release",
            name="sbom",
            field=apps.core.tenancy.TenantForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="updates.artifact",
            ),
        ),
        migrations.CreateModel(
            name="ReleasePackage",
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
                ("name", models.CharField(max_length=200)),
                ("version", models.CharField(blank=True, max_length=100)),
                ("purl", models.CharField(blank=True, max_length=500)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.organization",
                    ),
                ),
                (
                    "release",
                    apps.core.tenancy.TenantForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="packages",
                        to="updates.release",
                    ),
                ),
            ],
            options={
                "db_table": "updates_release_package",
                "abstract": False,
                "base_manager_name": "unscoped",
                "default_manager_name": "unscoped",
                "indexes": [
                    models.Index(
                        fields=["organization", "name", "release"], name="package_by_name"
                    ),
                    models.Index(
                        fields=["organization", "release", "name"], name="package_by_release"
                    ),
                ],
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
    ]
