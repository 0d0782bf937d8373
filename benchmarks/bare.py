"""What the API is measured against: Django's settings, addresses and two views of a process without the desk's work.

The same server, database and pool, without middleware: nobody signs in, nothing is checked, the stored text is joined.
"""

from __future__ import annotations

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from backoffice.settings import *  # noqa: F403

MIDDLEWARE = ["allauth.account.middleware.AccountMiddleware"]  # without it the library refuses to start
ROOT_URLCONF = "benchmarks.bare"

LIST = "SELECT data FROM invoices_invoice ORDER BY created DESC LIMIT 100"
ONE = "SELECT data FROM invoices_invoice WHERE id = %s"


def bare_list(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(LIST)
        objects = ",".join(text for (text,) in cursor.fetchall())
    return HttpResponse(f'{{"object":"list","data":[{objects}],"has_more":true}}', content_type="application/json")


def bare_one(request: HttpRequest, id: str) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(ONE, [id])
        found = cursor.fetchone()
    return HttpResponse(found[0] if found else "{}", content_type="application/json", status=200 if found else 404)


urlpatterns = [path("v1/invoices", bare_list), path("v1/invoices/<str:id>", bare_one)]
