"""The database roles: who owns, who works, who only reads.

None of them is a superuser or skips row level security.
"""

OWNER, APP, AUDITOR = "fleetd_owner", "fleetd_app", "fleetd_auditor"
DATABASE = "fleetd"

# A statement or transaction that hangs must not hold locks for ever.
_LIMITS = {
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "120s",
    "lock_timeout": "30s",
}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def role_statements(passwords: dict[str, str]) -> list[str]:
    """Creates the roles, or gives existing ones these passwords."""
    statements = []
    for role in (OWNER, APP, AUDITOR):
        attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION"
        statements += [
            f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;",
            f"ALTER ROLE {role} WITH {attributes} PASSWORD {_literal(passwords[role])};",
        ]
    statements += [f"ALTER ROLE {APP} SET {name} = '{value}';" for name, value in _LIMITS.items()]
    statements.append(f"ALTER ROLE {AUDITOR} SET default_transaction_read_only = on;")
    return statements


# Row security lets an index answer only for operators that are known to tell nobody of the rows
# that they look at. Those of arrays (tags, groups) compare, and raise nothing that depends on a
# value, but are not marked so: devices of a tag or group would be found by reading all of them.
_INDEXED_UNDER_ROW_SECURITY = (
    "ALTER FUNCTION pg_catalog.arrayoverlap(anyarray, anyarray) LEAKPROOF;",
    "ALTER FUNCTION pg_catalog.arraycontains(anyarray, anyarray) LEAKPROOF;",
)


def database_statements(database: str = DATABASE) -> list[str]:
    """Rights inside the database: only the owner creates, the others use what the owner made."""
    tables = f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT"
    return [
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {database} TO {APP}, {AUDITOR};",
        f"ALTER SCHEMA public OWNER TO {OWNER};",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
        f"GRANT USAGE ON SCHEMA public TO {APP}, {AUDITOR};",
        f"{tables} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP};",
        f"{tables} USAGE, SELECT ON SEQUENCES TO {APP};",
        f"{tables} SELECT ON TABLES TO {AUDITOR};",
        *_INDEXED_UNDER_ROW_SECURITY,
    ]
