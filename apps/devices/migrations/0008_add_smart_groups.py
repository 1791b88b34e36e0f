"""Adds groups whose devices are those that match a filter; no team owns such a group."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0007_keep_array_indexes_merged"),
    ]

    operations = [
        migrations.AddField(
            model_name="devicegroup",
            name="filter",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="devicegroup",
            name="filter_group_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(),
                blank=True,
                db_default=models.Value([]),
                default=list,
                editable=False,
                size=None,
            ),
        ),
        migrations.AddConstraint(
            model_name="devicegroup",
            constraint=models.CheckConstraint(
                condition=models.Q(("tag", ""), ("filter", ""), _connector="OR"),
                name="device_group_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="devicegroup",
            constraint=models.CheckConstraint(
                condition=models.Q(("filter", ""), ("team__isnull", True), _connector="OR"),
                name="device_group_smart_unowned",
            ),
        ),
    ]
