"""Settings of the tests: the project's own, on a folder that goes away, with the sandbox as Stripe."""

import atexit
import os
import shutil
import tempfile

if "DATA_DIR" not in os.environ:
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="invoice-desk-tests-")
    atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
os.environ.setdefault("STRIPE_SECRET_KEY", "sk_test_sandbox")
os.environ.setdefault("STRIPE_WEBHOOK_SECRETS", "whsec_old,whsec_sandbox")
os.environ.setdefault("STRIPE_REQUESTS_PER_SECOND", "0")
os.environ.setdefault(
    "STRIPE_API_BASE", "http://127.0.0.1:9"
)  # nothing listens there: a test that needs Stripe says so
os.environ.setdefault("RECONCILE_PATIENCE_SECONDS", "0")

from backoffice.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
