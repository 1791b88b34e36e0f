"""Notes at which site a device was when it began, so that claims count sites without devices."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """A column that is null: no row is written anew."""

    dependencies = [("updates", "0018_remove_files")]

    operations = [
        migrations.AddField("deployment", "site", models.TextField(null=True)),
    ]
