"""Installs the order of versions: the same as `apps.core.filters.versions.version_key`."""

from django.db import migrations

_INSTALL = r"""
CREATE FUNCTION fleetd_version_key(version text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  whole text := left(version, 200);
  found text[];
  piece text;
  digits text;
  key text;
BEGIN
  found := regexp_match(whole,
    '^[vV]?([0-9]+(?:\.[0-9]+)*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+.*)?$');
  IF found IS NULL THEN
    key := '0';
    FOR piece IN SELECT run[1] FROM regexp_matches(whole, '[0-9]+|[^0-9]+', 'g') AS run LOOP
      digits := ltrim(piece, '0');
      key := key || CASE WHEN piece ~ '^[0-9]'
        THEN 'n' || lpad(length(digits)::text, 3, '0') || digits ELSE 't' || piece END;
    END LOOP;
    RETURN key;
  END IF;
  key := '1';
  FOREACH piece IN ARRAY string_to_array(regexp_replace(found[1], '(?:\.0+)+$', ''), '.') LOOP
    digits := ltrim(piece, '0');
    key := key || 'n' || lpad(length(digits)::text, 3, '0') || digits;
  END LOOP;
  IF found[2] IS NULL THEN
    RETURN key || '/';
  END IF;
  key := key || '-';
  FOREACH piece IN ARRAY string_to_array(found[2], '.') LOOP
    digits := ltrim(piece, '0');
    key := key || CASE WHEN piece ~ '^[0-9]+$'
      THEN '1' || lpad(length(digits)::text, 3, '0') || digits ELSE '2' || piece || ' ' END;
  END LOOP;
  RETURN key;
END $$;
"""
_REMOVE = "DROP FUNCTION fleetd_version_key(text)"


class Migration(migrations.Migration):
    dependencies = [("core", "0001_create_installed_guard")]

    operations = [migrations.RunSQL(_INSTALL, _REMOVE)]
