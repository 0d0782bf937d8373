"""Every address of the project."""

from django.contrib import admin
from django.urls import include, path

from invoices import health, webhooks

urlpatterns = [
    path("admin/", admin.site.urls),
    path("webhooks/stripe", webhooks.stripe_webhook),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("", include("invoices.api.urls")),
]
handler400 = "invoices.api.envelope.bad_request"
handler500 = "invoices.api.envelope.server_error"
