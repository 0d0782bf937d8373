"""All addresses of the project. The API's own are in invoices/api/urls.py."""

from django.contrib import admin
from django.urls import include, path

from invoices import webhooks
from invoices.health import views as health

urlpatterns = [
    path("admin/", admin.site.urls),
    path("account/", include("backoffice.accounts_urls")),
    path("webhooks/stripe", webhooks.stripe_webhook),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("", include("invoices.api.urls")),
]
handler400 = "invoices.api.envelope.bad_request"
handler500 = "invoices.api.envelope.server_error"
