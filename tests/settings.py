"""Settings of the tests: the project's own, on a folder that goes away, with the sandbox as Stripe."""

import atexit
import os
import shutil
import tempfile

# Each of several pytest workers has a folder of its own, inside the one of the process that started them. Its name is
# taken out of the environment, so that a process which a test starts shares the folder of its test.
if os.environ.pop("PYTEST_XDIST_WORKER", "") or "DATA_DIR" not in os.environ:
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="invoice-desk-tests-", dir=os.environ.get("DATA_DIR"))
    atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
os.environ.setdefault("STRIPE_SECRET_KEY", "sk_test_sandbox")
os.environ.setdefault("STRIPE_WEBHOOK_SECRETS", "whsec_old,whsec_sandbox")
os.environ.setdefault("STRIPE_REQUESTS_PER_SECOND", "0")
os.environ.setdefault("STRIPE_LIVE_READS_PER_SECOND", "0")
os.environ.setdefault("STRIPE_PASS_THROUGH_PER_SECOND", "0")
os.environ.setdefault("API_REQUESTS_PER_SECOND", "0")
os.environ.setdefault("WEB_PROCESSES", "1")
os.environ.setdefault("API_REQUESTS_PER_MINUTE", "0")
os.environ.setdefault("API_USER_REQUESTS_PER_MINUTE", "0")
os.environ.setdefault("API_REFUSALS_PER_MINUTE", "0")
os.environ.setdefault("SIGN_INS_PER_MINUTE", "0")
os.environ.setdefault(
    "STRIPE_API_BASE", "http://127.0.0.1:9"
)  # nothing listens there: a test that needs Stripe says so
os.environ.setdefault("RECONCILE_PATIENCE_SECONDS", "0")

from backoffice.settings import *  # noqa: F403
from backoffice.settings import CELERY_BROKER_TRANSPORT_OPTIONS, CELERY_BROKER_URL, DATA_DIR, DATABASES

if CELERY_BROKER_URL.startswith("redis"):  # each pytest worker has keys of its own
    CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"] = f"{DATA_DIR.name}:"
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # no test outlives a crash of the machine
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
