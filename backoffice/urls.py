"""Every address of the project."""

from django.contrib import admin
from django.urls import path

from invoices import health

urlpatterns = [
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
]
