"""Lets phases count how many devices started in a minute."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("updates", "0007_plan_rollouts")]

    operations = [
        migrations.AddField(
            model_name="phase",
            name="rate_minute",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="phase",
            name="rate_started",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
