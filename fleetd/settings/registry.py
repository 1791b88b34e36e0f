"""Every setting of the platform, in one list. `fleetd config reference` prints it.

A name that is not here is not read anywhere; a line here that nothing reads is a bug that
`tests/platform/test_configuration.py` finds.
"""

from fleetd.settings.env import Environment, Kind, Setting

EMBEDDED = "embedded"

# Read by fleetd-agent and fleetctl, which may share an environment with the server.
NAMES_OF_CLIENTS = frozenset(
    {
        "FLEETD_AGENT_CONFIG",
        "FLEETD_AGENT_STATE_DIR",
        "FLEETD_CA_FILE",
        "FLEETD_ENROLLMENT_TOKEN",
        "FLEETD_ORG",
        "FLEETD_ORGANIZATION",
        "FLEETD_PROFILE",
        "FLEETD_SERVER",
        "FLEETD_TOKEN",
    }
)

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "FLEETD_DATA_DIR",
        Kind.PATH,
        "var",
        "Everything the platform writes on this machine: databases, secrets, artifacts, logs",
        shown_default="./var",
    ),
    Setting(
        "FLEETD_MODE",
        Kind.CHOICE,
        "production",
        "`production` refuses weak or missing secrets; `development` only warns. "
        "`fleetd up` generates secrets, so both work there",
        choices=("production", "development"),
    ),
    Setting(
        "FLEETD_WEB_LISTEN",
        Kind.ADDRESS,
        "127.0.0.1:8080",
        "REST, UI, admin, WebSocket, Connect, gRPC-Web, artifacts and enrollment",
    ),
    Setting(
        "FLEETD_GRPC_LISTEN",
        Kind.ADDRESS,
        "127.0.0.1:8081",
        "Public gRPC; plaintext on loopback only, elsewhere TLS",
    ),
    Setting(
        "FLEETD_AGENT_LISTEN",
        Kind.ADDRESS,
        "127.0.0.1:8443",
        "gRPC for agents with mutual TLS",
    ),
    Setting(
        "FLEETD_GATEWAY_METRICS_LISTEN",
        Kind.ADDRESS,
        None,
        "Where a gateway process serves its own `/metrics`, over plain HTTP; not served when unset",
    ),
    Setting(
        "FLEETD_EXTERNAL_URL",
        Kind.URL,
        None,
        "What links and installers show; https switches secure cookies and HSTS on",
        shown_default="from the web listener",
    ),
    Setting(
        "FLEETD_AGENT_EXTERNAL_ADDRESS",
        Kind.ADDRESS,
        None,
        "Where agents reach the gateway, as told to them at enrollment",
        shown_default="host of the external URL with the port of the agent listener",
    ),
    Setting(
        "FLEETD_ALLOWED_HOSTS",
        Kind.LIST,
        None,
        "Host names that the web port answers to, besides that of the external URL and loopback",
    ),
    Setting(
        "FLEETD_TRUSTED_PROXIES",
        Kind.INTEGER,
        "0",
        "How many reverse proxies in front add to X-Forwarded-For; 0 trusts the socket only",
    ),
    Setting(
        "FLEETD_LIMIT_ADDRESS",
        Kind.INTEGER,
        "12000",
        "Calls a minute of one address (IPv6: of one /64), whoever makes them; 0 for no limit",
    ),
    Setting(
        "FLEETD_LIMIT_UNAUTHENTICATED",
        Kind.INTEGER,
        "600",
        "Calls a minute of one address that show no valid credential; 0 for no limit",
    ),
    Setting(
        "FLEETD_LIMIT_USER",
        Kind.INTEGER,
        "6000",
        "Calls a minute of one person; 0 for no limit",
    ),
    Setting(
        "FLEETD_LIMIT_API_KEY",
        Kind.INTEGER,
        "6000",
        "Calls a minute of one API key; 0 for no limit",
    ),
    Setting(
        "FLEETD_LIMIT_ORGANIZATION",
        Kind.INTEGER,
        "60000",
        "Calls a minute of one organization that has no quota of its own; 0 for no limit",
    ),
    Setting(
        "FLEETD_LIMIT_SOCKETS",
        Kind.INTEGER,
        "600",
        "WebSockets that one address may open in a minute; 0 for no limit",
    ),
    Setting(
        "FLEETD_BODY_SECONDS",
        Kind.SECONDS,
        "30",
        "How long a request's body may take to arrive, besides one second for each 4 KiB",
    ),
    Setting(
        "FLEETD_METRICS_TOKEN",
        Kind.SECRET,
        None,
        "What Prometheus sends as `Authorization: Bearer …` to read `/metrics` of the web port; "
        "without one, loopback and private addresses may read it",
    ),
    Setting(
        "FLEETD_SECRET_KEY",
        Kind.SECRET,
        None,
        "Signs sessions and tokens, at least 32 bytes",
        shown_default="generated into the data directory by `fleetd up`",
    ),
    Setting(
        "FLEETD_ENCRYPTION_KEYS",
        Kind.SECRET,
        None,
        "Seal secrets in the database: `id:base64` of 32 random bytes, several by commas or lines. "
        "The first one seals, all open; a change of the file is noticed within a second",
        shown_default="generated into the data directory by `fleetd up`",
    ),
    Setting(
        "FLEETD_CA_CERT_FILE",
        Kind.PATH,
        None,
        "Certificate of the authority that signs device certificates (PEM)",
        shown_default="generated into the data directory",
    ),
    Setting(
        "FLEETD_CA_KEY_FILE",
        Kind.PATH,
        None,
        "Private key of that authority (PEM)",
        shown_default="generated into the data directory",
    ),
    Setting(
        "FLEETD_AUDIT_KEY_FILE",
        Kind.PATH,
        None,
        "Ed25519 private key that signs checkpoints of the audit trail (PEM)",
        shown_default="generated into the data directory",
    ),
    Setting(
        "FLEETD_AUDIT_EXPORT_DIR",
        Kind.PATH,
        None,
        "Second place of the audit trail's signed checkpoints: a directory, best elsewhere",
        shown_default="$FLEETD_DATA_DIR/audit-checkpoints",
    ),
    Setting(
        "FLEETD_DEVICE_CERTIFICATE_DAYS",
        Kind.INTEGER,
        "30",
        "How long a device's certificate is good for; devices renew at two thirds of it",
    ),
    Setting(
        "FLEETD_TLS_CERT_FILE",
        Kind.PATH,
        None,
        "Certificate of the public gRPC port (PEM); required where it is not on loopback",
    ),
    Setting("FLEETD_TLS_KEY_FILE", Kind.PATH, None, "Private key of FLEETD_TLS_CERT_FILE (PEM)"),
    Setting(
        "DATABASE_URL",
        Kind.SECRET,
        None,
        "PostgreSQL as the application role, `postgresql://fleetd_app:…@host/fleetd`",
        shown_default=EMBEDDED,
    ),
    Setting(
        "FLEETD_DATABASE_OWNER_URL",
        Kind.SECRET,
        None,
        "PostgreSQL as the owner of the schema; only migrations use it",
        shown_default=EMBEDDED,
    ),
    Setting(
        "FLEETD_DB_ROLE",
        Kind.CHOICE,
        "app",
        "Which of the two database roles this process connects as",
        choices=("app", "owner"),
    ),
    Setting(
        "FLEETD_DB_POOL_SIZE",
        Kind.INTEGER,
        "12",
        "Most database connections that one process opens",
    ),
    Setting(
        "REDIS_URL",
        Kind.SECRET,
        None,
        "Valkey or Redis: `redis://`, `rediss://` or `unix://`",
        shown_default=EMBEDDED,
    ),
    Setting(
        "FLEETD_STORAGE_URL",
        Kind.URL,
        None,
        "Where artifacts lie: `file:///folder`, or `s3://bucket/prefix?endpoint=…&region=…`",
        shown_default="file://$FLEETD_DATA_DIR/artifacts",
    ),
    Setting("FLEETD_S3_ACCESS_KEY", Kind.SECRET, None, "Access key of the bucket"),
    Setting("FLEETD_S3_SECRET_KEY", Kind.SECRET, None, "Secret key of the bucket"),
    Setting(
        "FLEETD_ARTIFACT_MAX_BYTES",
        Kind.INTEGER,
        "4294967296",
        "Largest artifact that is accepted, in bytes",
    ),
    Setting(
        "FLEETD_BOOTSTRAP_EMAIL",
        Kind.TEXT,
        None,
        "E-mail of the first owner; read once, while there is no user",
    ),
    Setting("FLEETD_BOOTSTRAP_PASSWORD", Kind.SECRET, None, "Password of the first owner"),
    Setting("FLEETD_BOOTSTRAP_ORG", Kind.TEXT, None, "Name of the first organization"),
    Setting(
        "FLEETD_ORGANIZATIONS",
        Kind.CHOICE,
        "single",
        "`single` refuses a second organization through every door; `multi` allows it",
        choices=("single", "multi"),
    ),
    Setting(
        "FLEETD_ORGANIZATION_CREATION",
        Kind.CHOICE,
        "superusers",
        "Who may make further organizations where there may be several",
        choices=("superusers", "everyone"),
    ),
    Setting(
        "FLEETD_ORGANIZATION_GRACE_DAYS",
        Kind.INTEGER,
        "7",
        "Days between asking for an organization's deletion and its erasure; at least 1",
    ),
    Setting(
        "FLEETD_EMAIL_URL",
        Kind.SECRET,
        None,
        "Where mail goes: `smtp://user:password@host:587`, `smtps://…`, `file:///folder` or "
        "`console:`; without it the platform sends none, and its pages say so",
    ),
    Setting(
        "FLEETD_EMAIL_FROM",
        Kind.TEXT,
        None,
        "The sender of mail",
        shown_default="fleetd@ and the host of the external URL",
    ),
    Setting(
        "FLEETD_EMAIL_VERIFICATION",
        Kind.CHOICE,
        "auto",
        "Whether people confirm their e-mail address before they can sign in; `auto` asks for it "
        "where mail is configured",
        choices=("auto", "on", "off"),
    ),
    Setting(
        "FLEETD_ADMIN_REQUIRE_MFA",
        Kind.CHOICE,
        "auto",
        "Whether `/admin/` asks for a second factor whatever the organization's policy says; "
        "`auto` does unless the external URL is this machine's own",
        choices=("auto", "on", "off"),
    ),
    Setting(
        "FLEETD_EDITION",
        Kind.CHOICE,
        "oss",
        "`oss` or `cloud`: configuration only, the routes are the same",
        choices=("oss", "cloud"),
    ),
    Setting(
        "AUTH_PROVIDER",
        Kind.CHOICE,
        "built_in",
        "Who authenticates people",
        choices=("built_in",),
    ),
    Setting(
        "TELEMETRY_ENDPOINT",
        Kind.CHOICE,
        "none",
        "Where traces and usage figures go; this version sends none anywhere",
        choices=("none",),
    ),
    Setting(
        "FLEETD_HEARTBEAT_SECONDS",
        Kind.INTEGER,
        "20",
        "How often a device says that it is there; silent for three times as long, it is offline",
    ),
    Setting(
        "FLEETD_WORKER_CONCURRENCY",
        Kind.INTEGER,
        "1",
        "Processes of the worker that run tasks side by side",
    ),
    Setting(
        "FLEETD_LOG_LEVEL",
        Kind.CHOICE,
        "INFO",
        "Least important log lines that are written",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    Setting(
        "FLEETD_LOG_FORMAT",
        Kind.CHOICE,
        "json",
        "`json` for machines, `console` for people",
        choices=("json", "console"),
    ),
)


def environment() -> Environment:
    """The process environment, read through the registry."""
    return Environment(SETTINGS, names_of_clients=NAMES_OF_CLIENTS)
