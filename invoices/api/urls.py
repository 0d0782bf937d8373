"""The API's addresses: /v1 as at Stripe, and its description below /api."""

from typing import Any

from django.urls import URLPattern, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from invoices.api import views
from invoices.api.actions import ActionView
from invoices.api.exports import CONTENT_TYPES, export_view
from invoices.api.schema import describe_action, describe_list_and_retrieve
from invoices.door import for_insiders
from invoices.operations import ACTIONS


def _list_and_retrieve(name: str, view: type[views.ListAndRetrieveView], tag: str) -> list[URLPattern]:
    files = [path(f"v1/{name}.{kind}", _export(view, kind, tag)) for kind in CONTENT_TYPES]
    view = describe_list_and_retrieve(view, tag)
    return [
        *files,
        path(f"v1/{name}", view.as_view({"get": "list"})),
        path(f"v1/{name}/<str:id>", view.as_view({"get": "retrieve"})),
    ]


def _export(view: type[views.ListAndRetrieveView], kind: str, tag: str) -> Any:
    return export_view(view, kind, tag).as_view({"get": "list"})


def _action(name: str) -> URLPattern:
    """A view class of its own for each action, so that each has its own description."""
    view = describe_action(type(f"{name.title().replace('_', '')}View", (ActionView,), {"entry": ACTIONS[name]}))
    return path(f"v1/invoices/<str:id>/{name}", view.as_view({"post": "create"}))


# The page's script has an address of its own: the Content-Security-Policy forbids scripts and styles in a page.
_docs = SpectacularSwaggerSplitView.as_view(url_name="api-schema", template_name="api_docs.html")

urlpatterns = [
    re_path(r"^v1/invoices/(?:search|upcoming|create_preview)$", views.Unrecognized.as_view({"get": "list"})),
    *_list_and_retrieve("invoices", views.InvoiceView, "Invoices"),
    path("v1/invoices/<str:id>/lines", views.InvoiceView.as_view({"get": "lines"})),
    *_list_and_retrieve("invoice_payments", views.InvoicePaymentView, "Invoice payments"),
    *_list_and_retrieve("operations", views.OperationView, "Operations"),
    *_list_and_retrieve("reconciliation_runs", views.RunView, "Reconciliation runs"),
    *_list_and_retrieve("drift", views.DriftView, "Drift"),
    *[_action(name) for name in ACTIONS],
    re_path(r"^v1(?:/[\s\S]*)?$", views.Unrecognized.as_view({"get": "list"})),
    path("api/schema/", for_insiders(SpectacularAPIView.as_view(), also_staff=True), name="api-schema"),
    path("api/docs/", for_insiders(_docs, also_staff=True), name="api-docs"),
]
