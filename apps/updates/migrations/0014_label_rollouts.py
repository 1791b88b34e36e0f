"""Rollouts keep the labels and annotations that manifests give them."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Two columns."""

    dependencies: ClassVar = [("updates", "0013_keep_rollout_notifications")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="rollout",
            name="labels",
            field=models.JSONField(blank=True, db_default={}, default=dict),
        ),
        migrations.AddField(
            model_name="rollout",
            name="annotations",
            field=models.JSONField(blank=True, db_default={}, default=dict),
        ),
    ]
