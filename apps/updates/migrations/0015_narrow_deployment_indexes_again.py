"""Leaves deployments those indexes that serve a question; fewer writes per claim and report."""

import django.db.models.deletion
from django.db import migrations, models

import apps.core.tenancy


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0008_add_smart_groups"),
        ("organizations", "0003_invite_export_and_delete"),
        ("updates", "0014_label_rollouts"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="deployment",
            name="deployment_once",
        ),
        migrations.RemoveIndex(
            model_name="deployment",
            name="deployment_by_device",
        ),
        migrations.AlterField(
            model_name="deployment",
            name="device",
            field=apps.core.tenancy.TenantForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="devices.device",
            ),
        ),
        migrations.AlterField(
            model_name="deployment",
            name="organization",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="organizations.organization",
            ),
        ),
        migrations.AlterField(
            model_name="deployment",
            name="rollout",
            field=apps.core.tenancy.TenantForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deployments",
                to="updates.rollout",
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.UniqueConstraint(
                fields=("organization", "device", "rollout", "attempt"), name="deployment_once"
            ),
        ),
    ]
