"""Notes when a device had its files, so that forecasts know how fast devices download."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("updates", "0011_keep_baselines_and_exclusions")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="downloaded_at",
            field=models.DateTimeField(null=True),
        ),
    ]
