"""What PostgreSQL's catalogue says about tenancy: policies, links, views, functions and roles."""

# ruff: noqa: S608  the texts are made of names of tables and columns, which are ours

from collections.abc import Iterator
from typing import Any

from apps.core.tenancy import ORGANIZATION_SETTING

_OWNED = """
  SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, a.attnum, a.attnotnull
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
  WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
"""

QUERIES: dict[str, str] = {
    "is not under forced row security": f"""
      SELECT relname FROM ({_OWNED}) t WHERE NOT (relrowsecurity AND relforcerowsecurity)""",
    "may have rows without an organization": f"""
      SELECT relname FROM ({_OWNED}) t WHERE NOT attnotnull""",
    "has no restrictive policy for its organization on every command": f"""
      SELECT relname FROM ({_OWNED}) t WHERE NOT EXISTS (
        SELECT 1 FROM pg_policy p WHERE p.polrelid = t.oid AND NOT p.polpermissive
          AND p.polcmd = '*' AND p.polroles = '{{0}}'
          AND pg_get_expr(p.polqual, p.polrelid) LIKE '%organization_id = %{ORGANIZATION_SETTING}%'
          AND pg_get_expr(coalesce(p.polwithcheck, p.polqual), p.polrelid)
              LIKE '%organization_id = %{ORGANIZATION_SETTING}%')""",
    "has a permissive policy beside the base": f"""
      SELECT t.relname || ': ' || p.polname FROM ({_OWNED}) t JOIN pg_policy p ON p.polrelid = t.oid
      WHERE p.polpermissive AND p.polname <> 'tenant_base'""",
    "links rows of organizations without organization_id": f"""
      SELECT here.relname || '.' || k.conname FROM pg_constraint k
      JOIN ({_OWNED}) here ON here.oid = k.conrelid
      JOIN ({_OWNED}) there ON there.oid = k.confrelid
      WHERE k.contype = 'f' AND NOT EXISTS (
        SELECT 1 FROM unnest(k.conkey, k.confkey) AS pair (mine, its)
        WHERE pair.mine = here.attnum AND pair.its = there.attnum)""",
    "is a materialised view, which row security does not reach": """
      SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relkind = 'm'""",
    "is a view that reads as its owner": """
      SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'public' AND c.relkind = 'v'
        AND NOT coalesce(c.reloptions::text LIKE '%security_invoker=true%', false)""",
}

_ROLE = """
  SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication
  FROM pg_roles WHERE rolname = current_user OR pg_has_role(current_user, oid, 'MEMBER')
"""
_OWNS = """
  SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'public' AND pg_has_role(current_user, c.relowner, 'MEMBER')
  UNION ALL SELECT 'schema public' FROM pg_namespace n
  WHERE n.nspname = 'public' AND pg_has_role(current_user, n.nspowner, 'MEMBER')
"""
_DEFINERS = """
  SELECT p.proname, p.proconfig::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND has_function_privilege(current_user, p.oid, 'EXECUTE')
"""
_LOOSE = f"""
  SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
    AND c.relname NOT IN (SELECT relname FROM ({_OWNED}) owned) ORDER BY 1
"""
_PRIVILEGES = f"""
  SELECT relname, privilege FROM ({_OWNED}) t
  CROSS JOIN unnest(ARRAY['TRUNCATE', 'TRIGGER', 'REFERENCES']) AS privilege
  WHERE has_table_privilege(current_user, t.oid, privilege)
"""
LINK = """
  SELECT 1 FROM pg_constraint k
  JOIN pg_attribute mine ON mine.attrelid = k.conrelid AND mine.attname = %s
  WHERE k.contype = 'f' AND k.conrelid = %s::regclass AND mine.attnum = ANY (k.conkey)
    AND k.convalidated AND array_length(k.conkey, 1) = 2
    AND (SELECT attnum FROM pg_attribute a WHERE a.attrelid = k.conrelid
         AND a.attname = 'organization_id') = ANY (k.conkey)
"""
QUESTIONS = len(QUERIES) + 5

# Functions that work as their owner, and what they are for. Each takes care of its own limits.
DEFINERS: dict[str, str] = {
    "fleetd_erase_organization": "erases the organization that is open, once its grace is over",
}


def findings(cursor: Any, app_role: str) -> Iterator[tuple[str, str]]:
    """What is wrong, as pairs of where and what. Asked as the application's role."""
    for what, query in QUERIES.items():
        cursor.execute(query)
        for (where,) in cursor.fetchall():
            yield where, what
    yield from _role(cursor, app_role)
    yield from _functions(cursor)
    cursor.execute(_PRIVILEGES)
    for table, privilege in cursor.fetchall():
        yield table, f"lets the application {privilege}"


def _role(cursor: Any, app_role: str) -> Iterator[tuple[str, str]]:
    cursor.execute("SELECT current_user")
    user = cursor.fetchone()[0]
    if user != app_role:
        yield user, f"is not the application's role {app_role}"
    cursor.execute(_ROLE)
    rights = ("is superuser", "bypasses row security", "creates roles", "creates databases")
    for name, *held in cursor.fetchall():
        for right, has in zip((*rights, "replicates"), held, strict=True):
            if has:
                yield f"role {name}", right
    cursor.execute(_OWNS)
    for (what,) in cursor.fetchall():
        yield f"role {user}", f"owns {what}"


def _functions(cursor: Any) -> Iterator[tuple[str, str]]:
    cursor.execute(_DEFINERS)
    for name, config in cursor.fetchall():
        if name not in DEFINERS:
            yield f"function {name}", "works as its owner and stands on no list"
        elif "search_path" not in (config or ""):
            yield f"function {name}", "works as its owner with the caller's search_path"


def loose_tables(cursor: Any) -> list[str]:
    """Tables without an organization."""
    cursor.execute(_LOOSE)
    return [name for (name,) in cursor.fetchall()]
