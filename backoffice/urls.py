"""All addresses of the project. The API's own are in invoices/api/urls.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from invoices import webhooks
from invoices.admin import find
from invoices.admin import health as health_page
from invoices.admin.reports import pages as report_pages
from invoices.health import views as health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("language/", set_language, name="set_language"),
    path("admin/find/", find.view, name="find"),
    path("admin/health/", admin.site.admin_view(health_page.page), name=health_page.PAGE),
    path("admin/health/line/", admin.site.admin_view(health_page.line_view), name=health_page.LINE),
    path("admin/reports/", include(report_pages.urls())),
    path("admin/", admin.site.urls),
    path("account/", include("backoffice.accounts_urls")),
    path("webhooks/stripe", webhooks.stripe_webhook),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("", include("invoices.api.urls")),
]
handler400 = "backoffice.error_pages.bad_request"
handler403 = "backoffice.error_pages.permission_denied"
handler404 = "backoffice.error_pages.not_found"
handler500 = "backoffice.error_pages.server_error"
