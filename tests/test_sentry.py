"""What is reported to Sentry: that something failed, where, and on which request; nothing of what it was about."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.helpers.receivers import receiving

HOUSE = Path(__file__).resolve().parent.parent
# Each failure has something in its message, its variables, its request that must not leave the process.
CODE = """
import logging
import django; django.setup()
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path
from backoffice import urls
from invoices.sight import context

def fails(request):
    variable = request.body.decode()
    try:
        int(variable)
    except ValueError as error:
        raise RuntimeError("no number of jenny.rosen@example.com, 4242424242424242") from error

urlpatterns = [path("fails", fails), *urls.urlpatterns]
import sys; sys.modules["failing"] = sys.modules["__main__"]
with override_settings(ROOT_URLCONF="failing", SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
    client = Client(raise_request_exception=False)
    client.post("/fails?q=jenny.rosen@example.com", "Jenny Rosen", content_type="text/plain",
                headers={"Authorization": "Bearer abcdefghijkl", "Cookie": "sessionid=mnopqrstuvwx",
                         "X-Request-ID": "req_of_the_page"})
with context.bound(task="process_events"):
    logging.getLogger("invoices").error("It has %s of %s", "jenny.rosen@example.com", ValueError("'Jenny Rosen'"))
"""


def test_reports_say_where_it_failed_and_nothing_of_whom() -> None:
    import os

    with receiving() as receiver:
        ended = subprocess.run(
            [sys.executable, "-c", CODE],
            cwd=HOUSE,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "DJANGO_ALLOWED_HOSTS": "testserver",
                "SENTRY_DSN": receiver.url.replace("://", "://public@") + "/1",
            },
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        said = b"\n".join(body for _, body in receiver.came).decode()
    events = [json.loads(line) for line in said.splitlines() if '"event_id"' in line and '"level"' in line]
    failed, logged = sorted(events, key=lambda event: event["logger"])
    assert failed["tags"]["request_id"] == "req_of_the_page" and logged["tags"] == {"task": "process_events"}
    cause, error = failed["exception"]["values"]
    assert (cause["type"], cause["value"]) == ("ValueError", "invalid literal for int() with base 10: …")
    assert error["type"] == "RuntimeError" and error["value"].startswith("no number of [redacted]")
    assert error["stacktrace"]["frames"][-1]["function"] == "fails"
    assert not {"request", "user", "breadcrumbs", "extra", "contexts", "modules", "server_name"} & failed.keys()
    for part in ("jenny", "Jenny", "4242", "abcdefgh", "mnopqr", "vars"):
        assert part not in said
    assert "jenny" not in ended.stderr and "Jenny" not in ended.stderr
