"""The API's addresses: /v1 as at Stripe, and its description below /api."""

from collections.abc import Iterable
from typing import Any

from django.urls import URLPattern, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from invoices.api import mirror_views, search, views, webhook_endpoints
from invoices.api.actions import ActionView
from invoices.api.base import ListAndRetrieveView
from invoices.api.batches import MadeBatchView
from invoices.api.changes import ChangesView
from invoices.api.decisions import DecidedOperationView
from invoices.api.exports import CONTENT_TYPES, export_view
from invoices.api.notes import NoteView
from invoices.api.pass_through import Elsewhere
from invoices.api.runs import StartedRunView
from invoices.api.schema import describe_action, describe_list_and_retrieve, describe_search
from invoices.door import for_insiders
from invoices.operations import ACTIONS


def _list_and_retrieve(
    name: str, view: type[ListAndRetrieveView], tag: str, *, kinds: Iterable[str] = CONTENT_TYPES, post: str = ""
) -> list[URLPattern]:
    files = [path(f"v1/{name}.{kind}", _export(view, kind, tag)) for kind in kinds]
    view = describe_list_and_retrieve(view, tag)
    return [
        *files,
        path(f"v1/{name}", view.as_view({"get": "list", **({"post": post} if post else {})})),
        path(f"v1/{name}/<str:id>", view.as_view({"get": "retrieve"})),
    ]


def _export(view: type[ListAndRetrieveView], kind: str, tag: str) -> Any:
    return export_view(view, kind, tag).as_view({"get": "list"})


def _search(name: str, view: type[search.SearchView], tag: str) -> URLPattern:
    return path(f"v1/{name}/search", describe_search(view, tag).as_view({"get": "list"}))


def _action(name: str) -> URLPattern:
    """A view class of its own for each action, so that each has its own description."""
    view = describe_action(type(f"{name.title().replace('_', '')}View", (ActionView,), {"entry": ACTIONS[name]}))
    return path(f"v1/invoices/<str:id>/{name}", view.as_view({"post": "create"}))


_elsewhere = Elsewhere.as_view(dict.fromkeys(("get", "post", "put", "patch", "delete", "head", "options"), "answer"))
# The page's script has an address of its own: the Content-Security-Policy forbids scripts and styles in a page.
_docs = SpectacularSwaggerSplitView.as_view(url_name="api-schema", template_name="api_docs.html")

urlpatterns = [
    _search("invoices", search.InvoiceSearchView, "Invoices"),
    _search("customers", search.CustomerSearchView, "Customers"),
    # Words where an id stands otherwise.
    re_path(
        r"^v1/(?:invoices/upcoming|invoices/create_preview|credit_notes/preview(?:/lines)?|[a-z_]+/search)$", _elsewhere
    ),
    *_list_and_retrieve("invoices", mirror_views.InvoiceView, "Invoices"),
    path("v1/invoices/<str:id>/lines", mirror_views.InvoiceView.as_view({"get": "lines"})),
    *_list_and_retrieve("invoice_payments", mirror_views.InvoicePaymentView, "Invoice payments"),
    *_list_and_retrieve("customers", mirror_views.CustomerView, "Customers"),
    *_list_and_retrieve("payment_intents", mirror_views.PaymentIntentView, "Payment intents"),
    *_list_and_retrieve("charges", mirror_views.ChargeView, "Charges"),
    *_list_and_retrieve("events", mirror_views.EventView, "Events", kinds=["ndjson"]),
    *_list_and_retrieve("credit_notes", mirror_views.CreditNoteView, "Credit notes"),
    path("v1/credit_notes/<str:id>/lines", mirror_views.CreditNoteView.as_view({"get": "lines"})),
    *_list_and_retrieve("refunds", mirror_views.RefundView, "Refunds"),
    *_list_and_retrieve("operations", DecidedOperationView, "Operations"),
    *[
        path(f"v1/operations/<str:id>/{verdict}", DecidedOperationView.as_view({"post": verdict}))
        for verdict in ("approve", "reject", "withdraw")
    ],
    path("v1/batches/preview", MadeBatchView.as_view({"post": "preview"})),
    *_list_and_retrieve("batches", MadeBatchView, "Batches", post="create"),
    *[path(f"v1/batches/<str:id>/{word}", MadeBatchView.as_view({"post": word})) for word in ("cancel", "confirm")],
    path(
        "v1/notes/<str:id>", describe_list_and_retrieve(NoteView, "Notes").as_view({"get": "retrieve", "post": "edit"})
    ),
    *_list_and_retrieve("notes", NoteView, "Notes", post="create"),
    *_list_and_retrieve("reconciliation_runs", StartedRunView, "Reconciliation runs", post="create"),
    *_list_and_retrieve("drift", views.DriftView, "Drift"),
    path("v1/changes", ChangesView.as_view({"get": "follow"})),
    *[_action(name) for name in ACTIONS],
    *webhook_endpoints.urlpatterns,
    re_path(r"^v1(?:/[\s\S]*)?$", _elsewhere),
    path("api/schema/", for_insiders(SpectacularAPIView.as_view(), also_staff=True), name="api-schema"),
    path("api/docs/", for_insiders(_docs, also_staff=True), name="api-docs"),
]
