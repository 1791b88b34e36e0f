"""What gates compare with, and which devices a person left out of a rollout."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("updates", "0010_hold_devices")]

    operations = [
        migrations.AddField("deployment", "baseline", models.JSONField(null=True)),
        migrations.AddField(
            "deployment", "is_excluded", models.BooleanField(db_default=False, default=False)
        ),
    ]
