"""The entry point for the web server, granian: Django behind the limits of backoffice/serving.py."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application


def _limit_statements() -> None:
    """On PostgreSQL a statement of this process ends after DATABASE_STATEMENT_SECONDS. Workers and commands have no
    such limit, because some of their statements take longer, and nobody waits for them."""
    database, seconds = settings.DATABASES["default"], settings.DATABASE_STATEMENT_SECONDS
    if seconds and database["ENGINE"] == "backoffice.postgresql":
        given = database["OPTIONS"].get("options", "")
        database["OPTIONS"]["options"] = f"{given} -c statement_timeout={round(seconds * 1000)}".strip()


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
_limit_statements()
_django = get_wsgi_application()

from backoffice import long_lived  # noqa: E402  these need Django to be set up
from backoffice.serving import Server  # noqa: E402

application = Server(_django)
long_lived.freeze()
