"""Settings of every server process. Values come from the environment through `registry` only."""

import warnings
from pathlib import Path
from urllib.parse import unquote, urlsplit

from csp.constants import NONCE, NONE, SELF

from fleetd.settings.databases import celery_broker_url, checked_redis_url, postgres_settings
from fleetd.settings.env import SettingError, is_loopback_host
from fleetd.settings.layout import DataLayout, read_private
from fleetd.settings.lean import import_signers
from fleetd.settings.logs import configure_structlog, logging_config
from fleetd.settings.mail import TIMEOUT_SECONDS, mail_settings
from fleetd.settings.registry import environment
from fleetd.settings.sealing_keys import KeyRing, KeysUnreadable
from fleetd.settings.secrets import weak_secrets

env = environment()
for sentence in env.warnings():
    warnings.warn(sentence, stacklevel=1)

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DATA_DIR = env.path("FLEETD_DATA_DIR")
LAYOUT = DataLayout(DATA_DIR)
IS_PRODUCTION = env.text("FLEETD_MODE") == "production"
EDITION = env.text("FLEETD_EDITION")
ORGANIZATIONS = env.text("FLEETD_ORGANIZATIONS")
ORGANIZATION_CREATION = env.text("FLEETD_ORGANIZATION_CREATION")
ORGANIZATION_GRACE_DAYS = max(1, env.integer("FLEETD_ORGANIZATION_GRACE_DAYS"))
AUTH_PROVIDER = env.text("AUTH_PROVIDER")
TELEMETRY_ENDPOINT = env.text("TELEMETRY_ENDPOINT")
DEBUG = False

import_signers()

# --- Addresses ---
WEB_LISTEN = env.address("FLEETD_WEB_LISTEN")
GRPC_LISTEN = env.address("FLEETD_GRPC_LISTEN")
AGENT_LISTEN = env.address("FLEETD_AGENT_LISTEN")
EXTERNAL_URL = (env.find_text("FLEETD_EXTERNAL_URL") or WEB_LISTEN.url).rstrip("/")
_external = urlsplit(EXTERNAL_URL)
IS_HTTPS = _external.scheme == "https"
AGENT_EXTERNAL_ADDRESS = (
    env.find_text("FLEETD_AGENT_EXTERNAL_ADDRESS") or f"{_external.hostname}:{AGENT_LISTEN.port}"
)
GATEWAY_METRICS_LISTEN = (
    env.address("FLEETD_GATEWAY_METRICS_LISTEN")
    if env.find_text("FLEETD_GATEWAY_METRICS_LISTEN")
    else None
)
HEARTBEAT_SECONDS = env.integer("FLEETD_HEARTBEAT_SECONDS")
TRUSTED_PROXIES = env.integer("FLEETD_TRUSTED_PROXIES")
ALLOWED_HOSTS = [
    *env.items("FLEETD_ALLOWED_HOSTS"),
    *([_external.hostname] if _external.hostname else []),
    "localhost",
    "127.0.0.1",
    "[::1]",
]
CSRF_TRUSTED_ORIGINS = [f"{_external.scheme}://{_external.netloc}"]

# --- Calls a minute; 0 for no limit ---
LIMIT_ADDRESS = env.integer("FLEETD_LIMIT_ADDRESS")
LIMIT_UNAUTHENTICATED = env.integer("FLEETD_LIMIT_UNAUTHENTICATED")
LIMIT_USER = env.integer("FLEETD_LIMIT_USER")
LIMIT_API_KEY = env.integer("FLEETD_LIMIT_API_KEY")
LIMIT_ORGANIZATION = env.integer("FLEETD_LIMIT_ORGANIZATION")
LIMIT_SOCKETS = env.integer("FLEETD_LIMIT_SOCKETS")
BODY_SECONDS = env.seconds("FLEETD_BODY_SECONDS")
METRICS_TOKEN = env.find_text("FLEETD_METRICS_TOKEN")

# --- Secrets ---
SECRET_KEY = env.raw("FLEETD_SECRET_KEY") or read_private(LAYOUT.secret_key) or ""
# A missing key stops whoever needs it: Django refuses to read an empty one. Commands that need
# none, such as makemigrations, work without.
if _weak := weak_secrets(env):
    raise SettingError("; ".join(_weak))
_keys_file = env.value_file("FLEETD_ENCRYPTION_KEYS")
_keys_text = None if _keys_file else env.raw("FLEETD_ENCRYPTION_KEYS")
try:
    ENCRYPTION_KEYS = KeyRing(_keys_text, _keys_file or LAYOUT.encryption_keys)
except KeysUnreadable as error:
    raise SettingError(f"FLEETD_ENCRYPTION_KEYS {error}") from None
CA_DIR = LAYOUT.ca
CA_CERT_FILE = env.find_path("FLEETD_CA_CERT_FILE") or CA_DIR / "ca.crt"
CA_KEY_FILE = env.find_path("FLEETD_CA_KEY_FILE") or CA_DIR / "ca.key"
AUDIT_KEY_FILE = env.find_path("FLEETD_AUDIT_KEY_FILE") or LAYOUT.secrets / "audit-signing.key"
AUDIT_KEY_IS_GIVEN = env.is_set("FLEETD_AUDIT_KEY_FILE")
AUDIT_EXPORT_DIR = env.find_path("FLEETD_AUDIT_EXPORT_DIR") or DATA_DIR / "audit-checkpoints"
DEVICE_CERTIFICATE_DAYS = env.integer("FLEETD_DEVICE_CERTIFICATE_DAYS")
TLS_CERT_FILE = env.find_path("FLEETD_TLS_CERT_FILE")
TLS_KEY_FILE = env.find_path("FLEETD_TLS_KEY_FILE")

# --- First owner, read once by the setup service ---
BOOTSTRAP_EMAIL = env.find_text("FLEETD_BOOTSTRAP_EMAIL")
BOOTSTRAP_PASSWORD = env.find_text("FLEETD_BOOTSTRAP_PASSWORD")
BOOTSTRAP_ORG = env.find_text("FLEETD_BOOTSTRAP_ORG")

# --- PostgreSQL ---
DB_ROLE = env.text("FLEETD_DB_ROLE")
_app_url = env.raw("DATABASE_URL")
_owner_url = env.raw("FLEETD_DATABASE_OWNER_URL")
if DB_ROLE == "owner" and _app_url and not _owner_url:
    raise SettingError("FLEETD_DATABASE_OWNER_URL is required to work as the schema's owner")
_given_url = _owner_url if DB_ROLE == "owner" else _app_url
_database_url = _given_url or read_private(LAYOUT.database_url(DB_ROLE))
IS_DATABASE_KNOWN = _database_url is not None
# Without a database Django still starts, for commands that need none; connecting then fails.
_absent_url = f"postgresql://fleetd_{DB_ROLE}@/fleetd?host={LAYOUT.run}"
DATABASES = {
    "default": {
        **postgres_settings(
            _database_url or _absent_url,
            pool_size=env.integer("FLEETD_DB_POOL_SIZE") if _database_url else 0,
        ),
        "CONN_HEALTH_CHECKS": True,
    }
}
DATABASE_APP_ROLE = unquote(urlsplit(_app_url or "").username or "") or "fleetd_app"
DATABASE_AUDITOR_ROLE = "fleetd_auditor"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Valkey ---
REDIS_URL = checked_redis_url(
    env.raw("REDIS_URL") or read_private(LAYOUT.redis_url) or f"unix://{LAYOUT.run}/absent.sock"
)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "fleetd",
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "fleetd"},
    }
}

# --- Celery: the database holds the work, the broker only wakes workers ---
CELERY_BROKER_URL = celery_broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_TIME_LIMIT = 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CONCURRENCY = env.integer("FLEETD_WORKER_CONCURRENCY")
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "organizations.sweep", "schedule": 5.0},
    "accounts": {"task": "accounts.keep_up", "schedule": 600.0},
}

# --- Artifacts ---
STORAGE_URL = env.find_text("FLEETD_STORAGE_URL") or f"file://{LAYOUT.artifacts}"
STORAGE_FOLDER = LAYOUT.artifacts  # for what is on its way to a bucket
S3_ACCESS_KEY = env.find_text("FLEETD_S3_ACCESS_KEY") or ""
S3_SECRET_KEY = env.find_text("FLEETD_S3_SECRET_KEY") or ""
ARTIFACT_MAX_BYTES = env.integer("FLEETD_ARTIFACT_MAX_BYTES")

# --- Django ---
_PRODUCT_APPS = [
    "apps.core",
    "apps.audit",
    "apps.events",
    "apps.accounts",
    "apps.organizations",
    "apps.teams",
    "apps.devices",
    "apps.enrollment",
    "apps.updates",
    "apps.agents",
    "apps.web",
]
INSTALLED_APPS = [
    "fleetd",
    "apps.web.admin_config.FleetdAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "guardian",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "channels",
    "csp",
    *[n for n in _PRODUCT_APPS if (BASE_DIR / n.replace(".", "/") / "apps.py").exists()],
]
MIDDLEWARE = [
    "apps.web.middleware.RequestIdMiddleware",
    "apps.web.probes.ProbeMiddleware",
    "apps.web.hosts.HostMiddleware",
    "apps.web.request_log.RequestLogMiddleware",
    "apps.web.middleware.BodyLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.accounts.ui.middleware.SignInMiddleware",
    "apps.web.middleware.ActorMiddleware",
    "apps.web.middleware.CallLimitMiddleware",
    "apps.web.middleware.SetupMiddleware",
]
ROOT_URLCONF = "fleetd.urls"
ASGI_APPLICATION = "fleetd.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "apps.web.context.shell",
            ],
        },
    }
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

# --- Mail ---
_mail = mail_settings(env.raw("FLEETD_EMAIL_URL"))
EMAIL_IS_CONFIGURED = _mail is not None
EMAIL_BACKEND = _mail.backend if _mail else "django.core.mail.backends.dummy.EmailBackend"
EMAIL_TIMEOUT = TIMEOUT_SECONDS
if _mail:
    globals().update(_mail.options)
DEFAULT_FROM_EMAIL = env.find_text("FLEETD_EMAIL_FROM") or f"fleetd@{_external.hostname}"
_verification = env.text("FLEETD_EMAIL_VERIFICATION")
if _verification == "on" and not EMAIL_IS_CONFIGURED:
    raise SettingError("FLEETD_EMAIL_VERIFICATION=on needs FLEETD_EMAIL_URL")
_verifies_email = EMAIL_IS_CONFIGURED and _verification != "off"

# --- People ---
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
# Object grants: its tables' form only. Rights are decided by apps.core.rights, so its backend, its
# anonymous user and its methods on people stay out.
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False
GUARDIAN_MONKEY_PATCH_GROUP = False
_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_ADAPTER = "apps.accounts.ui.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if _verifies_email else "none"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = None  # the form asks
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False  # a reset is no way around the second factor
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Attempts are counted by apps.core.limits, for all processes and every door alike.
ACCOUNT_RATE_LIMITS = False
MFA_RATE_LIMITS = False
MFA_ADAPTER = "apps.accounts.ui.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nobody can sign up with somebody else's address
MFA_TOTP_ISSUER = "fleetd"
MFA_RECOVERY_CODE_DIGITS = 10
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = False
USERSESSIONS_TRACK_ACTIVITY = False  # the middleware does, once a minute
PASSWORD_RESET_TIMEOUT = 24 * 3600
_admin_mfa = env.text("FLEETD_ADMIN_REQUIRE_MFA")
ADMIN_REQUIRE_MFA = _admin_mfa == "on" or (
    _admin_mfa == "auto" and not is_loopback_host(_external.hostname or "")
)
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"

# --- Browser security ---
SESSION_ENGINE = "fleetd.sessions"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True  # pages carry the token themselves
if IS_HTTPS:
    # Browsers take such a name only with Secure, for this host alone and for every path: no
    # subdomain and no plain connection can plant one.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
SECURE_HSTS_PRELOAD = IS_HTTPS
# A proxy terminates TLS. Only one that is counted is believed when it says so; `check --deploy`
# warns where https is announced and none is.
SECURE_SSL_REDIRECT = bool(IS_HTTPS and TRUSTED_PROXIES)
if SECURE_SSL_REDIRECT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]  # its backend would be a second way to decide
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "apps.web.errors.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

# --- Static files ---
STATIC_URL = "/static/"
STATIC_ROOT = LAYOUT.static
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
STATICFILES_DIRS = [path for path in [BASE_DIR / "static"] if path.is_dir()]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "fleetd.static_storage.StaticStorage"},
}

# --- REST ---
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {
    "TITLE": "fleetd",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # paths answer with and without a slash: not a mistake
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Logs ---
LOGGING = logging_config(env.text("FLEETD_LOG_LEVEL"), env.text("FLEETD_LOG_FORMAT"))
configure_structlog()
