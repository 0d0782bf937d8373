"""dj-stripe's project: settings, addresses, the WSGI application and manage.py in one file, run by its own Python.

    python djstripe_project.py prepare UUID SECRET | djstripe_sync_models Invoice

`prepare` makes the tables, and the row of the webhook endpoint with its signing secret.
"""

import os
import sys
from typing import Any
from urllib.parse import urlsplit

PARTS = urlsplit(os.environ["PEER_DATABASE"])
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = "of a benchmark, on this machine, for minutes"
USE_TZ = True
ROOT_URLCONF = "djstripe_project"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "djstripe"]
MIDDLEWARE: list[str] = []
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "ERROR"},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STRIPE_TEST_SECRET_KEY = os.environ["PEER_KEY"]
STRIPE_LIVE_MODE = False
STRIPE_API_HOST = os.environ["PEER_STRIPE"]
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
SILENCED_SYSTEM_CHECKS = ["djstripe.W001", "djstripe.W002", "djstripe.W003", "djstripe.W004"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": PARTS.path.strip("/"),
        "USER": PARTS.username,
        "PASSWORD": PARTS.password or "",
        "HOST": PARTS.hostname,
        "PORT": PARTS.port or 5432,
        "CONN_MAX_AGE": 600,
    }
}

urlpatterns: list[Any] = []


def prepare(endpoint: str, secret: str) -> None:
    from django.core.management import call_command
    from djstripe.models import WebhookEndpoint

    call_command("migrate", verbosity=0)
    WebhookEndpoint.objects.create(
        id="we_benchmark",
        livemode=False,
        enabled_events=["*"],
        secret=secret,
        status="enabled",
        url="http://127.0.0.1/",
        djstripe_uuid=endpoint,
    )


def main(words: list[str]) -> None:
    import django
    from django.core.management import call_command, execute_from_command_line

    django.setup()
    if words[0] == "prepare":
        prepare(*words[1:])
    elif words[0] == "migrate":
        call_command(*words)
    else:
        execute_from_command_line(["manage.py", *words])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "djstripe_project")
    main(sys.argv[1:])


def __getattr__(name: str) -> Any:
    """The WSGI application is made when granian asks for it, because Django reads this file as its settings first."""
    if name == "application":
        from django.core.wsgi import get_wsgi_application

        made = get_wsgi_application()
        from django.urls import include, path

        urlpatterns.append(path("stripe/", include("djstripe.urls", namespace="djstripe")))
        return made
    raise AttributeError(name)
