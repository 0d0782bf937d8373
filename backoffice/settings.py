"""Settings. What differs between two installations comes from environment variables: docs/operating.md lists them.

What runs when is CELERY_BEAT_SCHEDULE. Numbers that are the same in every installation mostly stand with the code that
uses them: when something is late, stale or expired in invoices/thresholds.py, the page sizes of the API in
invoices/api/pagination.py, those of the admin in invoices/admin/base.py. docs/operating.md lists the important ones.
"""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from environs import Env
from kombu import Exchange, Queue

from backoffice.amount_settings import amounts

env = Env()
BASE_DIR = Path(__file__).resolve().parent.parent
# The folder of SQLite, of the embedded broker's messages, and of collected static files.
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".demo")))

DEBUG = env.bool("DJANGO_DEBUG", default=False)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default="insecure-only-for-development-and-tests")
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])
# Behind a proxy that ends TLS: take the scheme from X-Forwarded-Proto, the client's address from X-Forwarded-For.
BEHIND_PROXY = env.bool("DJANGO_BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("DJANGO_SECURE_COOKIES", default=False)
X_FRAME_OPTIONS = "DENY"

# --- Stripe -----------------------------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
if STRIPE_SECRET_KEY.startswith(("sk_live", "rk_live")) and SECRET_KEY.startswith("insecure"):
    raise ImproperlyConfigured("Set DJANGO_SECRET_KEY to a secret of your own before you connect a live account.")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="https://api.stripe.com")
# Signing secrets of the webhook endpoint, with commas between them. There are two while one is being replaced.
STRIPE_WEBHOOK_SECRETS: list[str] = env.list("STRIPE_WEBHOOK_SECRETS", default=[])
# acct_…: our account. Events that name another one are stored and ignored; if this is empty, all that name one.
STRIPE_ACCOUNT = env.str("STRIPE_ACCOUNT", default="")
# The version that the pinned SDK speaks. An object in an event of another version is refetched from Stripe, unless the
# event tells that the object was deleted.
STRIPE_API_VERSION = "2026-10-28.endive"
# Requests per second that reconciliation and scheduled refetches may send, of all processes together. 0: no limit.
STRIPE_REQUESTS_PER_SECOND = env.int("STRIPE_REQUESTS_PER_SECOND", default=10)
# Seconds for which a reconciliation retries while Stripe or the database does not answer, before the run fails.
RECONCILE_PATIENCE_SECONDS = env.float("RECONCILE_PATIENCE_SECONDS", default=7200)
# Seconds after which a call to Stripe is given up, from connecting to the last byte. The outcome of an action is then
# unknown. Less than half of OPERATION_LEASE, which is checked at the start.
STRIPE_TIMEOUT_SECONDS = env.float("STRIPE_TIMEOUT_SECONDS", default=15.0)
WEBHOOK_MAX_BYTES = 1024 * 1024  # a larger body is refused
WEBHOOK_TOLERANCE_SECONDS = 300  # the greatest age of a signature; the default of Stripe's SDK

# --- approval and e-mail to people ------------------------------------------------------------------------------------
# Currency → amount in major units. Above it, what cannot be undone needs a second person's approval.
APPROVAL_THRESHOLDS = amounts("APPROVAL_THRESHOLDS", env.str("APPROVAL_THRESHOLDS", default='{"default": 1000}'))
# The same for what one person may do within 24 hours without a second one, everything added up.
APPROVAL_DAILY_ALLOWANCES = amounts(
    "APPROVAL_DAILY_ALLOWANCES", env.str("APPROVAL_DAILY_ALLOWANCES", default='{"default": 5000}')
)
# Hours after which a batch that has not ended, for example because it was paused, must be confirmed again.
BATCH_LIFE_HOURS = env.float("BATCH_LIFE_HOURS", default=24)
PUBLIC_URL = env.str("DJANGO_PUBLIC_URL", default="http://localhost:8000")  # the beginning of links in e-mails
FINANCE_EMAILS: list[str] = env.list("FINANCE_EMAILS", default=[])  # who is told of drift
# Where the head of the journal's chain is told once a day, out of reach of those who own the database.
JOURNAL_HEAD_EMAILS: list[str] = env.list("JOURNAL_HEAD_EMAILS", default=[])
JOURNAL_HEAD_FILE = env.str("JOURNAL_HEAD_FILE", default="")  # a line a day is appended
ARCHIVE_DIR = env.path("ARCHIVE_DIR", default=DATA_DIR / "archive")  # of the months of events that left the database

# --- applications -----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # the theme without its own admin site
    "unfold.contrib.filters",
    "backoffice.apps.AdminConfig",
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
    "backoffice.middleware.RequestIdMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "backoffice.middleware.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "invoices.admin.time_zone.TimeZoneMiddleware",
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
        # A transaction takes the write lock at its start. After it has read, SQLite may refuse the lock at once.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds to wait for the write lock
        # FULL: what was committed outlives a loss of power. With NORMAL the last commits may be gone, and with them the
        # record of a call that Stripe has carried out.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728;",
    }
    # The tests' database is a file, as in use, so that threads lock each other out as in use.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    # A pool for each process. A thread gives its connection back before it calls Stripe. Other options, such as
    # sslmode, come from DATABASE_URL.
    DATABASES["default"]["ENGINE"] = "backoffice.postgresql"
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 1,
        "max_size": env.int("DATABASE_POOL_SIZE", default=16),
        "timeout": 10,  # seconds to wait for a free connection
        # Seconds for which a lost connection is tried again, at growing intervals. With the default of 300 they reach
        # minutes, and requests fail for as long after the database has come back.
        "reconnect_timeout": 5,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- people -----------------------------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["backoffice.sign_in.Backend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
DEFAULT_FROM_EMAIL = env.str("DJANGO_FROM_EMAIL", default="invoice-desk@localhost")
EMAIL_TIMEOUT = 10  # seconds
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
with suppress(OSError):  # WhiteNoise warns if the folder is missing; it serves the files from their packages
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
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 1}  # seconds
CELERY_BROKER_CONNECTION_TIMEOUT = 1  # seconds
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False  # beat's next run of the task makes up for a lost wake-up
CELERY_TASK_DEFAULT_QUEUE = "invoices"
# A worker serves both queues, unless `--queues` names one: an installation can give refetches a worker of their own.
CELERY_TASK_QUEUES = [Queue(name, Exchange(name), routing_key=name) for name in ("invoices", "refetches")]
CELERY_TASK_ROUTES = {"invoices.tasks.perform_refetches": {"queue": "refetches"}}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # messages that a worker reserves for each of its threads; the default is 4
CELERY_TIMEZONE = "UTC"


def _every(task: str, seconds: float) -> dict[str, object]:
    """Runs a task of invoices.tasks every so many seconds.

    A message that no worker takes before the next one is sent expires, so that they do not pile up.
    """
    return {"task": f"invoices.tasks.{task}", "schedule": seconds, "options": {"expires": seconds}}


CELERY_BEAT_SCHEDULE = {  # the numbers are seconds; the clock times are UTC
    "events": _every("process_events", 1),
    "refetches": _every("perform_refetches", 1),
    "settle": _every("settle_operations", 5),
    "batches": _every("run_batches", 5),
    "chain": _every("chain_journal", 30),
    "queues": _every("tend_queues", 60),
    "partitions": {"task": "invoices.tasks.make_partitions", "schedule": crontab(hour="0", minute="20")},
    "catch_up": {"task": "invoices.tasks.catch_up", "schedule": crontab(minute="*/15")},
    "reconcile": {
        "task": "invoices.tasks.reconcile_due",
        "schedule": crontab(minute="15"),
        "options": {"expires": 3600},
    },
}

# --- API --------------------------------------------------------------------------------------------------------------
KNOX_TOKEN_MODEL = "invoices.ApiToken"  # noqa: S105
MIGRATION_MODULES = {"knox": None}  # knox's own token table is not created: ApiToken replaces it
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": timedelta(days=365), "TOKEN_MODEL": KNOX_TOKEN_MODEL}
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "invoices.api.envelope.exception_handler",
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
    "SWAGGER_UI_DIST": "SIDECAR",  # from the installed package; the browser fetches nothing from other hosts
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "TAGS": [
        {"name": tag}
        for tag in ("Invoices", "Actions", "Invoice payments", "Operations", "Reconciliation runs", "Drift")
    ],
    "POSTPROCESSING_HOOKS": ["invoices.api.schema_objects.add_components"],
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
    "GLOBAL_CALLBACK": "invoices.admin.operations.pauses.for_every_page",
    "DASHBOARD_CALLBACK": "invoices.admin.home.home",
    "STYLES": [lambda request: static("invoices/desk.css")],
    "SCRIPTS": [lambda request: static("invoices/desk.js")],
    "SIDEBAR": {"navigation": "invoices.admin.site.navigation"},
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {  # an ink blue; white text on 600 has a contrast above 4.5 : 1
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
        # Stripe's SDK logs request bodies at DEBUG and addresses at INFO. Both may hold personal data.
        "stripe": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
