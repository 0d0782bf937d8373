"""The API's addresses: /v1 as at Stripe, and what describes it below /api."""

from django.urls import URLPattern, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from invoices.api import views
from invoices.api.actions import ActionView
from invoices.api.schema import described, described_action
from invoices.operations import ACTIONS


def _both(name: str, view: type[views.ListRetrieve], tag: str) -> list[URLPattern]:
    view = described(tag)(view)
    return [
        path(f"v1/{name}", view.as_view({"get": "list"})),
        path(f"v1/{name}/<str:id>", view.as_view({"get": "retrieve"})),
    ]


def _action(name: str) -> URLPattern:
    view = described_action(type(f"{name.title().replace('_', '')}View", (ActionView,), {"spec": ACTIONS[name]}))
    return path(f"v1/invoices/<str:id>/{name}", view.as_view({"post": "create"}))


urlpatterns = [
    re_path(r"^v1/invoices/(?:search|upcoming|create_preview)$", views.Unrecognized.as_view({"get": "list"})),
    *_both("invoices", views.InvoiceView, "Invoices"),
    path("v1/invoices/<str:id>/lines", views.InvoiceView.as_view({"get": "lines"})),
    *_both("invoice_payments", views.InvoicePaymentView, "Invoice payments"),
    *_both("operations", views.OperationView, "Operations"),
    *_both("reconciliation_runs", views.RunView, "Reconciliation runs"),
    *_both("drift", views.DriftView, "Drift"),
    *[_action(name) for name in ACTIONS],
    re_path(r"^v1(?:/[\s\S]*)?$", views.Unrecognized.as_view({"get": "list"})),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
]
