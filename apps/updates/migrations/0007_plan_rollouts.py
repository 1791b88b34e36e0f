"""Gives rollouts whole plans, and deployments their release and further attempts."""

import django.db.models.deletion
from django.db import migrations, models

import apps.core.tenancy

# Row security holds for the owner too, who works in no organization: it is off for this statement.
_FILL = """
ALTER TABLE updates_deployment NO FORCE ROW LEVEL SECURITY;
ALTER TABLE updates_rollout NO FORCE ROW LEVEL SECURITY;
UPDATE updates_deployment AS deployment SET release_id = rollout.release_id
FROM updates_rollout AS rollout WHERE rollout.id = deployment.rollout_id;
ALTER TABLE updates_deployment FORCE ROW LEVEL SECURITY;
ALTER TABLE updates_rollout FORCE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0007_keep_array_indexes_merged"),
        ("organizations", "0003_invite_export_and_delete"),
        ("updates", "0006_create_artifact_uploads"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="deployment",
            name="deployment_once",
        ),
        migrations.AddField(
            model_name="deployment",
            name="attempt",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AddField(
            model_name="deployment",
            name="is_retried",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="deployment",
            name="not_before",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="deployment",
            name="release",
            field=apps.core.tenancy.TenantForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="updates.release",
            ),
        ),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="deployment",
            name="release",
            field=apps.core.tenancy.TenantForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="updates.release"
            ),
        ),
        migrations.AddField(
            model_name="rollout",
            name="excluded",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="rollout",
            name="is_limited",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="rollout",
            name="maximum_attempts",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="rollout",
            name="plan",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="rollout",
            name="priority",
            field=models.SmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="rollout",
            name="rolls_back",
            field=apps.core.tenancy.TenantForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rollbacks",
                to="updates.rollout",
            ),
        ),
        migrations.AddField(
            model_name="rollout",
            name="start_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.UniqueConstraint(
                fields=("organization", "rollout", "device", "attempt"), name="deployment_once"
            ),
        ),
    ]
