"""Leaves room in each page of device states, so that a heartbeat rewrites its row in place."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("devices", "0001_create_devices")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE devices_device_state SET (fillfactor = 70)",
            "ALTER TABLE devices_device_state RESET (fillfactor)",
        ),
    ]
