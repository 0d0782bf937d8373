"""Settings. What differs between two installations comes from environment variables: docs/operating.md lists them.

What runs when is CELERY_BEAT_SCHEDULE. Numbers that are the same in every installation mostly stand with the code that
uses them: when something is late, stale or expired in invoices/thresholds.py, the page sizes of the API in
invoices/api/pagination.py, those of the admin in invoices/admin/base.py. docs/operating.md lists the important ones.
"""

import os
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import dj_database_url
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.translation import gettext_lazy
from environs import Env
from kombu import Exchange, Queue

from backoffice.amount_settings import amounts
from backoffice.forwarding import proxies
from backoffice.group_settings import group_map
from backoffice.production_settings import DEVELOPMENT_KEY, networks, origin_of, refuse_unsafe
from backoffice.secret_settings import secret, secrets_list
from backoffice.time_zone_settings import time_zone

env = Env()
BASE_DIR = Path(__file__).resolve().parent.parent
# The folder of SQLite, of the embedded broker's messages, and of collected static files.
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".demo")))

with suppress(OSError):  # a container may have it read-only, and need nothing in it
    DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)

DEBUG = env.bool("DJANGO_DEBUG", default=False)
# For the servers of a company: what a laptop or the demo does without is then required, and refused if it is missing.
PRODUCTION = env.bool("DJANGO_PRODUCTION", default=False)
SECRET_KEY = secret("DJANGO_SECRET_KEY", DEVELOPMENT_KEY)
# This machine's own names are always allowed, for probes and `stripe listen`. No other site is reached under them, so a
# request that claims one gains nothing: a link that is built from it leads its reader to the reader's own machine.
OUR_HOSTS: list[str] = env.list("DJANGO_ALLOWED_HOSTS", default=[])
ALLOWED_HOSTS = [*OUR_HOSTS, "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS: list[str] = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])
# Who is believed about the client's address and TLS: backoffice/forwarding.py.
TRUSTED_PROXIES = proxies(env.str("TRUSTED_PROXIES", default=""))
if env.bool("DJANGO_BEHIND_PROXY", default=False):
    raise ImproperlyConfigured(
        "DJANGO_BEHIND_PROXY has become TRUSTED_PROXIES: set that to the networks of your proxies, such as 10.0.0.0/8, "
        "and remove DJANGO_BEHIND_PROXY."
    )

# --- what browsers are told -------------------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("DJANGO_SECURE_COOKIES", default=PRODUCTION)
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # no script of ours reads them
if SESSION_COOKIE_SECURE:  # a browser takes these names over TLS alone, and not from a neighbouring subdomain
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # not in a cookie: they name customers
SECURE_SSL_REDIRECT = PRODUCTION
# Asked for from inside, past the proxy that ends TLS; and webhooks, which are signed, and would be lost by a redirect.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics|webhooks/stripe)$"]
SECURE_HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", default=365 * 86_400) if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
# The preload list is about a whole domain, of which the desk is one host: its owner asks for that, not the desk.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "backoffice.error_pages.not_sent"
# Who may read /metrics, the reasons of /readyz, /api/schema/ and /api/docs/ (invoices/door.py): who shows this token,
# who asks from these networks, or everybody.
METRICS_TOKEN = secret("METRICS_TOKEN")
INTERNAL_NETWORKS = networks("INTERNAL_NETWORKS", env.list("INTERNAL_NETWORKS", default=[]))
INTERNAL_PAGES_OPEN = env.bool("INTERNAL_PAGES_OPEN", default=not PRODUCTION)
# The rest of what every answer carries is in backoffice/headers.py.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF, "'sha256-9uj7VCq35sVlkZn3Z3hoyUTB4f6nsjYAPpwV+K4u01Y='"],  # the one of templates/plain.html
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        # Chrome applies it to where a form's answer leads, too: to the provider of the single sign-on.
        "form-action": [SELF, *origin_of(os.environ.get("OIDC_ISSUER", ""))],
        "frame-ancestors": [NONE],
    }
}

# --- what one API token may take (backoffice/fairness.py) -------------------------------------------------------------
API_REQUESTS_PER_SECOND = env.float("API_REQUESTS_PER_SECOND", default=100)  # of all web processes; 0: no limit
API_BURST = env.int("API_BURST", default=200)  # requests that may come at once after a pause
# Web processes of all hosts together. Where Redis is the broker they share the limit, and this is not used; elsewhere
# each allows this part of it.
WEB_PROCESSES = max(env.int("WEB_PROCESSES", default=2), 1)
# That compute in one process; those that wait for Stripe aside.
API_REQUESTS_AT_ONCE = env.int("API_REQUESTS_AT_ONCE", default=2)

# --- how many requests in a minute (invoices/request_limits.py; 0: no limit) -----------------------------------------
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=6000)  # with one token
API_USER_REQUESTS_PER_MINUTE = env.int("API_USER_REQUESTS_PER_MINUTE", default=12000)  # with all tokens of a user
API_REFUSALS_PER_MINUTE = env.int("API_REFUSALS_PER_MINUTE", default=120)  # without a valid token, from one address
SIGN_INS_PER_MINUTE = env.int("SIGN_INS_PER_MINUTE", default=120)  # forms sent to the sign-in pages from one address
SIGN_IN_PATHS = ("/admin/login/", "/account/")

# --- Stripe -----------------------------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = secret("STRIPE_SECRET_KEY")
refuse_unsafe(
    production=PRODUCTION,
    debug=DEBUG,
    secret_key=SECRET_KEY,
    our_hosts=OUR_HOSTS,
    trusted_origins=CSRF_TRUSTED_ORIGINS,
    secure_cookies=SESSION_COOKIE_SECURE,
    stripe_key=STRIPE_SECRET_KEY,
    metrics_token=METRICS_TOKEN,
)
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="https://api.stripe.com")
# Signing secrets of the webhook endpoint, with commas between them. There are two while one is being replaced.
STRIPE_WEBHOOK_SECRETS = secrets_list("STRIPE_WEBHOOK_SECRETS")
# acct_…: our account. Events that name another one are stored and ignored; if this is empty, all that name one.
STRIPE_ACCOUNT = env.str("STRIPE_ACCOUNT", default="")
# The version that the pinned SDK speaks. An object in an event of another version is refetched from Stripe, unless the
# event tells that the object was deleted.
STRIPE_API_VERSION = "2026-10-28.endive"
# The first version with today's invoices. An API client that asks for an older one expects `paid`, `charge`,
# `payment_intent` and `subscription`, and is refused unless its token says that it knows.
STRIPE_OLDEST_VERSION = "2025-03-31.basil"
# Requests per second that reconciliation and scheduled refetches may send, of all processes together. 0: no limit.
STRIPE_REQUESTS_PER_SECOND = env.int("STRIPE_REQUESTS_PER_SECOND", default=10)
# Reads per second that callers of the API may cause, of what the mirror does not hold: of all processes together. 0: no
# limit.
STRIPE_LIVE_READS_PER_SECOND = env.int("STRIPE_LIVE_READS_PER_SECOND", default=10)
# A restricted key that may only read, for what is passed on to Stripe for callers of the API; empty: nothing is.
STRIPE_PASS_THROUGH_KEY = secret("STRIPE_PASS_THROUGH_KEY")
if STRIPE_PASS_THROUGH_KEY and not STRIPE_PASS_THROUGH_KEY.startswith("rk_"):
    raise ImproperlyConfigured(
        "STRIPE_PASS_THROUGH_KEY must be a restricted key (rk_…) that may only read: callers of the API choose what is "
        "asked with it."
    )
# Requests per second that are passed on, of all processes together. 0: no limit.
STRIPE_PASS_THROUGH_PER_SECOND = env.int("STRIPE_PASS_THROUGH_PER_SECOND", default=5)
# Seconds for which a reconciliation retries while Stripe or the database does not answer, before the run fails.
RECONCILE_PATIENCE_SECONDS = env.float("RECONCILE_PATIENCE_SECONDS", default=7200)
# Seconds after which a call to Stripe is given up, from connecting to the last byte. The outcome of an action is then
# unknown. Less than half of OPERATION_LEASE, which is checked at the start.
STRIPE_TIMEOUT_SECONDS = env.float("STRIPE_TIMEOUT_SECONDS", default=15.0)
WEBHOOK_MAX_BYTES = 1024 * 1024  # a larger body is refused
WEBHOOK_TOLERANCE_SECONDS = 300  # the greatest age of a signature, or lead; the default of Stripe's SDK

# --- events for the company's services: invoices/fanout ---------------------------------------------------------------
# Networks inside to which events are sent all the same, also without TLS. Every other address must be public.
WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS = networks(
    "WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS", env.list("WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS", default=[])
)
# A file of certificates (PEM) that vouch for the services; empty: the public ones.
WEBHOOK_ENDPOINTS_CA_FILE = env.str("WEBHOOK_ENDPOINTS_CA_FILE", default="")
if WEBHOOK_ENDPOINTS_CA_FILE and not Path(WEBHOOK_ENDPOINTS_CA_FILE).is_file():
    raise ImproperlyConfigured(f"WEBHOOK_ENDPOINTS_CA_FILE names {WEBHOOK_ENDPOINTS_CA_FILE}, which is no file.")
# Seconds in which a service must have answered. DELIVERY_LEASE must be much longer.
WEBHOOK_ENDPOINTS_TIMEOUT_SECONDS = 10.0

# --- requests: backoffice/serving.py ----------------------------------------------------------------------------------
REQUEST_MAX_BYTES = env.int("REQUEST_MAX_BYTES", default=1024 * 1024)  # a larger body is refused, of a webhook as above
UPLOAD_MAX_BYTES = 21 * 1024 * 1024  # of a bank statement: the file's 20 MB, and the fields around it
UPLOAD_BODY_SECONDS = 60.0  # in which it must be here
REQUEST_BODY_SECONDS = env.float("REQUEST_BODY_SECONDS", default=10.0)  # in which a body must be here
REQUEST_THREADS = env.int("REQUEST_THREADS", default=32)  # requests that are worked on at once, webhooks aside
# Callers of the API who may wait for an outcome at once, in one process: each holds a thread. Beyond it they hear at
# once that it is not known yet.
OUTCOME_WAITERS = env.int("OUTCOME_WAITERS", default=REQUEST_THREADS // 4)
REQUEST_WAIT_SECONDS = env.float("REQUEST_WAIT_SECONDS", default=10.0)  # for a thread; then 503
# Seconds for which a client waits at most. What was begun goes on to its end.
REQUEST_SECONDS = env.float("REQUEST_SECONDS", default=60.0)

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
EVENTS_KEPT_MONTHS = env.int("EVENTS_KEPT_MONTHS", default=0)  # 0: until somebody archives them

# What the database holds of files that are prepared in the background, as it holds them: compressed.
EXPORT_MAX_MEGABYTES = env.int("EXPORT_MAX_MEGABYTES", default=500)  # of one file
EXPORTS_MAX_MEGABYTES = env.int("EXPORTS_MAX_MEGABYTES", default=2000)  # of all files together

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
    "csp",
    "django_prometheus",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "axes",
    "invoices",
]
MIDDLEWARE = [
    "backoffice.middleware.RequestIdMiddleware",
    "backoffice.observation.RequestLogMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "backoffice.compression.CompressionMiddleware",
    "backoffice.headers.HeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
    "backoffice.middleware.ApiMiddleware",
    # From here on for pages alone.
    "invoices.admin.locale.LanguageMiddleware",
    "csp.middleware.CSPMiddleware",
    "backoffice.sign_in_limit.SignInLimitMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "backoffice.sessions.SessionLifeMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "invoices.admin.time_zone.TimeZoneMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "backoffice.urls"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["django.template.loaders.filesystem.Loader", "backoffice.theme_templates.Loader"],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "backoffice.accounts.pages",
            ],
            "libraries": {"desk": "invoices.admin.tags", "slim": "invoices.admin.slim"},
            "builtins": ["invoices.admin.form_tags"],
        },
    }
]
FORM_RENDERER = "backoffice.theme_templates.FormRenderer"

# --- database ---------------------------------------------------------------------------------------------------------
DATABASES = {"default": dj_database_url.parse(secret("DATABASE_URL", f"sqlite:///{DATA_DIR}/invoices.sqlite3"))}
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
    # A link that was cut without a word is noticed within half a minute, instead of never while an answer is awaited.
    noticed = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}  # seconds
    noticed["tcp_user_timeout"] = 20_000  # milliseconds
    # Django switches prepared statements off. Its own cursors bind at the client, and prepare nothing in any case; the
    # few statements that are prepared say so (`prepared_cursor` of backoffice/postgresql).
    noticed["prepare_threshold"] = 5
    DATABASES["default"]["OPTIONS"] = {**noticed, **DATABASES["default"].get("OPTIONS", {})}
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": env.int("DATABASE_POOL_SIZE", default=16),
        "timeout": 10,  # seconds to wait for a free connection
        # Seconds for which a lost connection is tried again, at growing intervals. With the default of 300 they reach
        # minutes, and requests fail for as long after the database has come back.
        "reconnect_timeout": 5,
    }
# Seconds after which PostgreSQL ends a statement of a web process. 0: no limit.
DATABASE_STATEMENT_SECONDS = env.float("DATABASE_STATEMENT_SECONDS", default=30.0)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- people -----------------------------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "backoffice.passwords.GuessableValidator"},
]
AUTHENTICATION_BACKENDS = ["backoffice.sign_in.Backend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# A session ends after so many minutes without a page, and at the latest so many hours after the sign-in.
SESSION_IDLE_MINUTES = env.float("SESSION_IDLE_MINUTES", default=60)
SESSION_HOURS = env.float("SESSION_HOURS", default=12)
SESSION_COOKIE_AGE = int(SESSION_HOURS * 3600)  # seconds

# Whether people of the staff see the admin only with a second factor. Who has added one is always asked for it.
SECOND_FACTOR_REQUIRED = env.bool("SECOND_FACTOR_REQUIRED", default=PRODUCTION)
# For how long a second factor counts as fresh: approvals, API tokens, pauses and manual resolution need a fresh one.
SECOND_FACTOR_FRESH_MINUTES = env.float("SECOND_FACTOR_FRESH_MINUTES", default=10)
ACCOUNT_ADAPTER = "backoffice.accounts.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = False  # backoffice/lockouts.py counts in the database, which all processes share
ACCOUNT_REAUTHENTICATION_TIMEOUT = int(SECOND_FACTOR_FRESH_MINUTES * 60)  # seconds
MFA_ADAPTER = "backoffice.accounts.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Invoice desk"
MFA_TOTP_TOLERANCE = 1  # codes of half a minute before and after are taken too: clocks differ
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION  # http://localhost of a laptop
MFA_FORMS = {
    "authenticate": "backoffice.accounts.CodeForm",
    "reauthenticate": "backoffice.accounts.CodeAgainForm",
    "activate_totp": "backoffice.accounts.FirstCodeForm",
    "authenticate_webauthn": "backoffice.accounts.PasskeyForm",
    "reauthenticate_webauthn": "backoffice.accounts.PasskeyAgainForm",
}

# Single sign-on through OpenID Connect; empty: none.
OIDC_ISSUER = env.str("OIDC_ISSUER", default="").rstrip("/")  # as https://login.example.com/realms/company
if PRODUCTION and OIDC_ISSUER and not OIDC_ISSUER.startswith("https://"):
    raise ImproperlyConfigured(
        "OIDC_ISSUER must begin with https://: whoever answers in its place signs in as anybody."
    )
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = secret("OIDC_CLIENT_SECRET")
OIDC_NAME = env.str("OIDC_NAME", default="single sign-on")  # what the button says
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", default="groups")
OIDC_GROUPS = group_map(env.list("OIDC_GROUPS", default=[]))  # the provider's group → ours
# Whether the provider is trusted to have asked for a second factor. If not, ours is asked for after it.
OIDC_TRUSTS_SECOND_FACTOR = env.bool("OIDC_TRUSTS_SECOND_FACTOR", default=False)
OIDC_PROVIDER_ID = "company"  # in addresses, and in the table of linked accounts
SOCIALACCOUNT_ADAPTER = "backoffice.single_sign_on.Adapter"
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10  # seconds
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": OIDC_PROVIDER_ID,
                "name": OIDC_NAME,
                "client_id": OIDC_CLIENT_ID,
                "secret": OIDC_CLIENT_SECRET,
                "settings": {"server_url": OIDC_ISSUER},
            }
        ],
    }
}

AXES_HANDLER = "backoffice.lockouts.Handler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # read by axes' own checks; the rules are the handler's
AXES_LOCKOUT_CALLABLE = "backoffice.lockouts.lockout_response"
AXES_DISABLE_ACCESS_LOG = True  # the journal of people has all sign-ins
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or an attacker would keep a lock for ever

DEFAULT_FROM_EMAIL = env.str("DJANGO_FROM_EMAIL", default="invoice-desk@localhost")
EMAIL_HOST = env.str("DJANGO_EMAIL_HOST", default="localhost")
EMAIL_PORT = env.int("DJANGO_EMAIL_PORT", default=25)
EMAIL_HOST_USER = env.str("DJANGO_EMAIL_USER", default="")
EMAIL_HOST_PASSWORD = secret("DJANGO_EMAIL_PASSWORD")
EMAIL_USE_TLS = env.bool("DJANGO_EMAIL_TLS", default=False)
EMAIL_TIMEOUT = 10  # seconds for each answer of the mail server; Django's default is to wait for ever
EMAIL_BACKEND = env.str("DJANGO_EMAIL_BACKEND", default="django.core.mail.backends.console.EmailBackend")

# English is what the code is written in, what the journal keeps, and what /v1, commands and logs speak. In which
# language a person reads the desk: invoices/admin/locale.py.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["backoffice.formats"]
LANGUAGE_COOKIE_NAME = "language"
LANGUAGE_COOKIE_AGE = 365 * 86_400  # seconds
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
TIME_ZONE = "UTC"
# In which the days of a report begin where none is chosen, such as Europe/Berlin.
REPORTS_TIME_ZONE = time_zone("REPORTS_TIME_ZONE", env.str("REPORTS_TIME_ZONE", default="UTC"))
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("DJANGO_STATIC_ROOT", default=str(DATA_DIR / "static")))
with suppress(OSError):  # WhiteNoise warns if the folder is missing; it serves the files from their packages
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Alpine's build that evaluates no text as a script stands before the theme's own: see the README in that folder.
# And its fonts, cut to the letters and icons that the desk shows.
STATICFILES_DIRS = [BASE_DIR / "third_party" / "alpinejs-csp-3.17.4", BASE_DIR / "third_party" / "fonts"]
WHITENOISE_USE_FINDERS = True

# --- wake-ups ---------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = re.sub(  # as Celery spells how Redis is known by its certificate; redis-py takes `required` alone
    r"(?<=[?&]ssl_cert_reqs=)CERT_(NONE|OPTIONAL|REQUIRED)\b",
    lambda found: found[1].lower(),
    secret("CELERY_BROKER_URL", "embedded://"),
)
if CELERY_BROKER_URL.startswith("embedded:"):
    BROKER_DIR = DATA_DIR / "broker"
    BROKER_DIR.mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {"folder": str(BROKER_DIR)}
elif CELERY_BROKER_URL.startswith(("amqp:", "amqps:", "pyamqp:")):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"write_timeout": 5}  # seconds
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
# After a lost connection Celery lowers the prefetch count, and a thread of the pool raises it again through the
# connection from which the main thread reads: with RabbitMQ both then wait for ever.
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
# Nobody asks workers over the broker: /readyz and /metrics tell of them. The queue for such questions has the worker's
# name, and of two workers with one name (the default is celery@host) RabbitMQ refuses the second, again and again.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TIMEZONE = "UTC"


# Seconds after which a message that no worker took expires, so that they pile up for no longer where no worker is.
# Beat stamps it and a worker compares, each by the clock of its own host: of two hosts whose clocks differ by more, the
# worker drops every message.
MESSAGE_LIFETIME = 1800


def _every(task: str, seconds: float) -> dict[str, object]:
    """Runs a task of invoices.tasks every so many seconds."""
    return {"task": f"invoices.tasks.{task}", "schedule": seconds, "options": {"expires": MESSAGE_LIFETIME}}


CELERY_BEAT_SCHEDULER = "backoffice.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {  # the numbers are seconds; the clock times are UTC
    "events": _every("process_events", 1),
    "refetches": _every("perform_refetches", 1),
    "deliveries": _every("deliver_events", 1),
    "settle": _every("settle_operations", 5),
    "batches": _every("run_batches", 5),
    "chain": _every("chain_journal", 30),
    "emails": _every("send_emails", 5),
    "exports": _every("prepare_exports", 5),
    "queues": _every("tend_queues", 60),
    "promises": _every("settle_promises", 60),
    "proposals": _every("propose_matches", 60),
    "matches": _every("settle_matches", 5),
    "tallies": _every("count_tallies", 2),
    "tallies_proof": {"task": "invoices.tasks.prove_tallies", "schedule": crontab(hour="1", minute="40")},
    "archive": {"task": "invoices.tasks.archive_events", "schedule": crontab(hour="3", minute="40")},
    "partitions": {"task": "invoices.tasks.make_partitions", "schedule": crontab(hour="0", minute="20")},
    "sessions": {"task": "invoices.tasks.clear_sessions", "schedule": crontab(hour="0", minute="40")},
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
    "DEFAULT_SCHEMA_CLASS": "invoices.api.schema.StripeSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": ["invoices.api.auth.ApiTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "The invoice desk",
    "DESCRIPTION": (
        "Stripe's API shape over the mirror: any Stripe SDK can be pointed at this host. Amounts are in minor units, "
        "times in seconds since 1970, UTC. Reads come from the mirror; actions are performed before they answer, at "
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
        for tag in (
            "Invoices",
            "Actions",
            "Invoice payments",
            "Customers",
            "Payment intents",
            "Charges",
            "Credit notes",
            "Refunds",
            "Events",
            "Changes",
            "Webhook endpoints",
            "Operations",
            "Batches",
            "Notes",
            "Reconciliation runs",
            "Drift",
        )
    ],
    "POSTPROCESSING_HOOKS": ["invoices.api.schema_objects.add_components"],
}

# --- admin ------------------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": gettext_lazy("Invoice desk"),
    "SITE_HEADER": gettext_lazy("Invoice desk"),
    "SITE_SUBHEADER": gettext_lazy("Stripe invoices, in one place"),
    "SITE_SYMBOL": "receipt_long",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("invoices/icon.svg")}],
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "invoices.admin.site.environment",
    "GLOBAL_CALLBACK": "invoices.admin.site.for_every_page",
    "DASHBOARD_CALLBACK": "invoices.admin.home.home",
    "STYLES": [lambda request: static("invoices/theme.css"), lambda request: static("invoices/desk.css")],
    "SCRIPTS": [
        lambda request: static("invoices/theme.js"),
        lambda request: static("invoices/desk.js"),
        lambda request: static("invoices/find.js"),
    ],
    "SIDEBAR": {"navigation": "invoices.admin.site.navigation"},
}

# --- log --------------------------------------------------------------------------------------------------------------
# json: an object a line, for machines; text: for people.
LOG_FORMAT = env.str("LOG_FORMAT", default="json" if PRODUCTION else "text")
if LOG_FORMAT not in ("json", "text"):
    raise ImproperlyConfigured(f"LOG_FORMAT must be json or text, not “{LOG_FORMAT}”.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "invoices.sight.logs.JsonFormatter"},
        "text": {"()": "invoices.sight.logs.TextFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": env.str("DJANGO_LOG_LEVEL", default="INFO")},
    "loggers": {
        "axes": {"level": "ERROR"},  # the journal of people has it; axes would log what was typed as a name
        # Stripe's SDK logs request bodies at DEBUG and addresses at INFO. Both may hold personal data.
        "stripe": {"level": "WARNING"},
        # The line of the request says the same of refusals; what failed comes with its traceback.
        "django.request": {"level": "ERROR"},
        "_granian": {"handlers": [], "propagate": True},  # the server's own lines in the same form, once Django runs
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.worker.request": {"level": "WARNING"},  # a message of the schedule that came too late
    },
}

# --- reports ----------------------------------------------------------------------------------------------------------
SENTRY_DSN = secret("SENTRY_DSN")  # where errors are reported to; empty: nowhere
# Where spans are sent to, over HTTP; empty: none are made. The library reads the other OTEL_… variables by itself.
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
# host:port at which each Celery worker serves its counters to Prometheus; empty: it does not.
WORKER_METRICS_ADDRESS = env.str("WORKER_METRICS_ADDRESS", default="")
