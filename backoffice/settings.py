"""Settings: everything that differs between two installations comes from the environment."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from environs import Env

env = Env()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".demo")))

DEBUG = env.bool("DJANGO_DEBUG", default=False)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default="insecure-only-for-development-and-tests")
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])
BEHIND_PROXY = env.bool("DJANGO_BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("DJANGO_SECURE_COOKIES", default=False)
X_FRAME_OPTIONS = "DENY"

# --- Stripe -----------------------------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
if STRIPE_SECRET_KEY.startswith(("sk_live", "rk_live")) and SECRET_KEY.startswith("insecure"):
    raise ImproperlyConfigured("Set DJANGO_SECRET_KEY to a secret of your own before you connect a live account.")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="https://api.stripe.com")
STRIPE_WEBHOOK_SECRETS: list[str] = env.list("STRIPE_WEBHOOK_SECRETS", default=[])
STRIPE_ACCOUNT = env.str("STRIPE_ACCOUNT", default="")  # acct_…; events of another account are journalled and ignored
STRIPE_API_VERSION = "2026-10-28.endive"  # the version that the pinned SDK speaks; events of another are hints
STRIPE_REQUESTS_PER_SECOND = env.int("STRIPE_REQUESTS_PER_SECOND", default=10)  # of reconciliation; 0 = no budget
RECONCILE_PATIENCE_SECONDS = env.float("RECONCILE_PATIENCE_SECONDS", default=7200)  # while Stripe is away
STRIPE_TIMEOUT_SECONDS = env.float("STRIPE_TIMEOUT_SECONDS", default=15.0)
# Above these amounts (major units) a second person decides on what cannot be undone.
APPROVAL_THRESHOLDS: dict[str, float] = dict(env.json("APPROVAL_THRESHOLDS", default={"default": 1000}))
PUBLIC_URL = env.str("DJANGO_PUBLIC_URL", default="http://localhost:8000")  # of links in mails
FINANCE_EMAILS: list[str] = env.list("FINANCE_EMAILS", default=[])  # who hears of drift
WEBHOOK_MAX_BYTES = 1024 * 1024
WEBHOOK_TOLERANCE_SECONDS = 300  # as Stripe's SDK

# --- applications -----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "invoices",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "backoffice.middleware.ClientAddress",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "invoices.admin.zone.ZoneMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "backoffice.urls"
WSGI_APPLICATION = "backoffice.wsgi.application"
APPEND_SLASH = False
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
            ],
            "libraries": {"desk": "invoices.admin.tags"},
        },
    }
]

# --- database ---------------------------------------------------------------------------------------------------------
DATABASES = {"default": env.dj_db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR}/invoices.sqlite3")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",  # a transaction that will write waits at its start, and never fails later
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=134217728;",
    }
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # a file, as in use: threads wait in turn
else:
    # Each web thread and worker thread may hold one; a call to Stripe gives its connection back first.
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {  # beside what the address says, such as sslmode
        "min_size": 1,
        "max_size": env.int("DATABASE_POOL_SIZE", default=16),
        "timeout": 10,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- people -----------------------------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
DEFAULT_FROM_EMAIL = env.str("DJANGO_FROM_EMAIL", default="invoice-desk@localhost")
EMAIL_TIMEOUT = 10
EMAIL_HOST = env.str("DJANGO_EMAIL_HOST", default="localhost")
EMAIL_PORT = env.int("DJANGO_EMAIL_PORT", default=25)
EMAIL_HOST_USER = env.str("DJANGO_EMAIL_USER", default="")
EMAIL_HOST_PASSWORD = env.str("DJANGO_EMAIL_PASSWORD", default="")
EMAIL_USE_TLS = env.bool("DJANGO_EMAIL_TLS", default=False)
EMAIL_BACKEND = env.str("DJANGO_EMAIL_BACKEND", default="django.core.mail.backends.console.EmailBackend")

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("DJANGO_STATIC_ROOT", default=str(DATA_DIR / "static")))
with suppress(OSError):  # empty, it only spares a warning: the files are found where their packages keep them
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STATICFILES_DIRS: list[Path] = []
WHITENOISE_USE_FINDERS = True

# --- wake-ups ---------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="embedded://")
if CELERY_BROKER_URL.startswith("embedded:"):
    BROKER_DIR = DATA_DIR / "broker"
    BROKER_DIR.mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {"folder": str(BROKER_DIR)}
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 1}
CELERY_BROKER_CONNECTION_TIMEOUT = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False  # a lost wake-up is caught by the next sweep
CELERY_TASK_DEFAULT_QUEUE = "invoices"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"


def _sweep(task: str, seconds: float) -> dict[str, object]:
    """A sweep that is not taken before the next one is due is worth nothing: let it expire."""
    return {"task": f"invoices.tasks.{task}", "schedule": seconds, "options": {"expires": seconds}}


CELERY_BEAT_SCHEDULE = {
    "events": _sweep("process_events", 1),
    "reads": _sweep("perform_reads", 1),
    "settle": _sweep("settle_operations", 5),
    "batches": _sweep("run_batches", 5),
    "catch_up": {"task": "invoices.tasks.catch_up", "schedule": crontab(minute="*/15")},
    "nightly": {"task": "invoices.tasks.reconcile_nightly", "schedule": crontab(hour="2", minute="15")},
}

# --- API --------------------------------------------------------------------------------------------------------------
KNOX_TOKEN_MODEL = "invoices.ApiToken"  # noqa: S105
MIGRATION_MODULES = {"knox": None}  # its own table would stand there unused, and in the way of a test's flush
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": timedelta(days=365), "TOKEN_MODEL": KNOX_TOKEN_MODEL}
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "invoices.api.envelope.handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": ["invoices.api.auth.ApiTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "The invoice desk",
    "DESCRIPTION": (
        "Stripe's API shape over the mirror: any Stripe SDK can be pointed at this host. Amounts are in minor units, "
        "times in seconds since 1970, UTC. Reads never wait for Stripe; actions are performed before they answer, at "
        "most once per `Idempotency-Key`, and stand in `/v1/operations` with who asked and what came of it."
    ),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",  # nothing is fetched from elsewhere
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "TAGS": [
        {"name": tag}
        for tag in ("Invoices", "Actions", "Invoice payments", "Operations", "Reconciliation runs", "Drift")
    ],
    "POSTPROCESSING_HOOKS": ["invoices.api.schema.add_components"],
}

# --- admin ------------------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "Invoice desk",
    "SITE_HEADER": "Invoice desk",
    "SITE_SUBHEADER": "Stripe invoices, in one place",
    "SITE_SYMBOL": "receipt_long",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("invoices/icon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "invoices.admin.site.environment",
    "GLOBAL_CALLBACK": "invoices.admin.brake.on_every_page",
    "DASHBOARD_CALLBACK": "invoices.admin.dashboard.dashboard",
    "STYLES": [lambda request: static("invoices/desk.css")],
    "SCRIPTS": [lambda request: static("invoices/desk.js")],
    "SIDEBAR": {"navigation": "invoices.admin.site.navigation"},
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {  # an ink blue; 600 carries white text at more than 4.5 : 1
            "50": "oklch(97.5% .012 250)",
            "100": "oklch(94.5% .028 250)",
            "200": "oklch(89% .055 250)",
            "300": "oklch(81% .095 250)",
            "400": "oklch(71% .135 250)",
            "500": "oklch(61% .16 253)",
            "600": "oklch(51% .165 256)",
            "700": "oklch(45% .15 257)",
            "800": "oklch(39% .125 258)",
            "900": "oklch(33% .1 259)",
            "950": "oklch(25% .075 260)",
        },
    },
}

# --- log --------------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("DJANGO_LOG_LEVEL", default="INFO")},
    "loggers": {
        # The SDK logs whole request bodies at DEBUG and every address at INFO: neither belongs in our log.
        "stripe": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
