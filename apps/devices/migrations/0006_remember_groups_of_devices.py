"""Keeps on each device the static groups that it is in.

Rights hold in device groups, so every list of devices asks for groups: an array on the device has
statistics and an index, where a join to the members has neither for "in any of these groups".
Changes add and take away single groups, never the whole array: two of them at once lose nothing.
"""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
from django.db import migrations, models

_KEEP = """
CREATE FUNCTION devices_enter_groups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE devices_device AS device SET group_ids = device.group_ids || entered.group_ids
  FROM (SELECT organization_id, device_id, array_agg(group_id ORDER BY group_id) AS group_ids
        FROM entered_rows GROUP BY organization_id, device_id) AS entered
  WHERE device.organization_id = entered.organization_id AND device.id = entered.device_id;
  RETURN NULL;
END $$;
CREATE FUNCTION devices_leave_groups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE devices_device AS device SET group_ids = ARRAY(
    SELECT kept FROM unnest(device.group_ids) AS kept WHERE NOT kept = ANY(gone.group_ids))
  FROM (SELECT organization_id, device_id, array_agg(group_id) AS group_ids
        FROM gone_rows GROUP BY organization_id, device_id) AS gone
  WHERE device.organization_id = gone.organization_id AND device.id = gone.device_id;
  RETURN NULL;
END $$;
CREATE TRIGGER enter_groups AFTER INSERT ON devices_group_member
  REFERENCING NEW TABLE AS entered_rows
  FOR EACH STATEMENT EXECUTE FUNCTION devices_enter_groups();
CREATE TRIGGER leave_groups AFTER DELETE ON devices_group_member
  REFERENCING OLD TABLE AS gone_rows
  FOR EACH STATEMENT EXECUTE FUNCTION devices_leave_groups();
"""
_FORGET = """
DROP TRIGGER enter_groups ON devices_group_member;
DROP TRIGGER leave_groups ON devices_group_member;
DROP FUNCTION devices_enter_groups();
DROP FUNCTION devices_leave_groups();
"""
# Row security holds for the owner too, who works in no organization: it is off for this statement.
_FILL = """
ALTER TABLE devices_device NO FORCE ROW LEVEL SECURITY;
ALTER TABLE devices_group_member NO FORCE ROW LEVEL SECURITY;
UPDATE devices_device AS device SET group_ids = present.group_ids
FROM (SELECT device_id, array_agg(group_id ORDER BY group_id) AS group_ids
      FROM devices_group_member GROUP BY device_id) AS present
WHERE device.id = present.device_id;
ALTER TABLE devices_device FORCE ROW LEVEL SECURITY;
ALTER TABLE devices_group_member FORCE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [("devices", "0005_create_group_grants")]

    operations = [
        migrations.AddField(
            model_name="device",
            name="group_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(),
                blank=True,
                db_default=models.Value([]),
                default=list,
                editable=False,
                size=None,
            ),
        ),
        migrations.RunSQL(_KEEP, _FORGET),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="device",
            index=django.contrib.postgres.indexes.GinIndex(
                fields=["group_ids"], name="device_by_group"
            ),
        ),
    ]
