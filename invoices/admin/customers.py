"""Customers: the list with its search, the URLs of one's page, and what is stored about one."""

from pathlib import Path
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from django.views.decorators.http import require_POST

from invoices import customer_rows, money, request_origin, stored_data
from invoices.admin import customer_page, customer_payment, search
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.filters import DayRangeFilter
from invoices.admin.formatting import moment
from invoices.admin.sorting import Sort
from invoices.keyset import Order
from invoices.models import Customer, Disclosure
from invoices.models.reading import is_id, member, text
from invoices.streaming import streamed

LOOKS_SHOWN = 20  # on the page of what is stored: the newest
PERMISSION = "invoices.disclose_customer"


class DownloadForm(forms.Form):
    """Why everything about a customer is downloaded."""

    reason = forms.CharField(
        label=gettext_lazy("Why is it downloaded?"),
        help_text=gettext_lazy(
            "Such as the ticket of the customer's request, without the customer's name. Stays in the journal."
        ),
        max_length=2000,
        widget=forms.TextInput(),
        error_messages={"required": gettext_lazy("Please say why: it stands in the journal.")},
    )


def _require(request: HttpRequest, customer: str) -> None:
    """Raises PermissionDenied, and Http404 for what cannot be an id."""
    if not (request.user.has_perm("invoices.view_customer") and request.user.has_perm(PERMISSION)):
        raise PermissionDenied
    if not is_id(customer):
        raise Http404


def _record(request: HttpRequest, customer: str, what: str, reason: str = "") -> None:
    stored_data.record(customer, what, by=request.user, reason=reason, **request_origin.origin(request))  # type: ignore[arg-type]


@admin.register(Customer)
class CustomerAdmin(MirroredAdmin):
    page_template = "admin/customers/page.html"
    list_display = ("name_", "email_", "id_", "created_", "as_of")
    list_filter = (DayRangeFilter.on("created", "created"),)
    sorts: ClassVar = {
        "created": Sort("created_", Order("created")),
        "name": Sort("name_", Order("name", descending=False, may_be_empty=False), gettext_noop("With a name")),
    }
    search_help_text = gettext_lazy('E-mail, name, cus_…, or a query: metadata["plan"]:"gold"')
    dashboard_path = "customers"
    empty_hint = gettext_noop("Try the whole e-mail address, the beginning of the name, or an id (cus_…).")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return search.customers(term, queryset)

    def page_context(self, request: HttpRequest, record: Customer) -> dict[str, Any]:
        may_disclose = request.user.has_perm(PERMISSION)
        return {
            **super().page_context(request, record),
            "stored": reverse("admin:invoices_customer_stored", args=[record.pk]) if may_disclose else "",
            "payment": reverse("admin:invoices_customer_payment", args=[record.pk])
            if customer_payment.may(request)
            else "",
            "title": text(record.data, "name") or record.email or record.pk,
            "page": customer_page.CustomerPage(record, request),
        }

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("<str:object_id>/cards/", self.cards_view, "cards"),
            self.at("<str:object_id>/chosen/", self.chosen_view, "chosen"),
            self.at("<str:object_id>/payment/", self.payment_view, "payment"),
            self.at("<str:object_id>/stored/", self.stored_view, "stored"),
            self.at("<str:object_id>/stored/download/", self.download_view, "download"),
        ]

    def cards_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return customer_page.cards(request, self._seen(request, object_id))

    def payment_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One payment from outside Stripe over several invoices."""
        found = self._seen(request, object_id)
        if found is None and self.has_view_permission(request):
            return self.missing(request, object_id)
        if found is None or not customer_payment.may(request):
            raise PermissionDenied
        return customer_payment.pay(self, request, found)

    def chosen_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return customer_page.chosen(request, self._seen(request, object_id))

    def _seen(self, request: HttpRequest, object_id: str) -> Customer | None:
        found: Customer | None = self.record(object_id) if self.has_view_permission(request) else None
        return found

    def stored_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What is stored about this customer. Every look is recorded."""
        _require(request, object_id)
        _record(request, object_id, Disclosure.What.VIEWED)
        return self._show_stored(request, object_id, DownloadForm())

    def _show_stored(
        self, request: HttpRequest, customer: str, form: DownloadForm, status: int = 200
    ) -> TemplateResponse:
        looks = customer_rows.disclosures(customer).select_related("by").order_by("-at")
        with customer_rows.read_once():
            holdings = stored_data.holdings(customer)
            archives = stored_data.archives(customer, Path(settings.ARCHIVE_DIR))
        context = {
            "title": _("Stored about {customer}").format(customer=customer),
            "customer": customer,
            "is_mirrored": customer_rows.customers(customer).exists(),
            "holdings": holdings,
            "archives": archives,
            "looks": looks[:LOOKS_SHOWN],
            "form": form,
        }
        return self.show(request, "admin/customers/stored.html", context, status)

    @method_decorator(require_POST)
    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """All of it, as one JSON document. Recorded, with the reason, before the first byte."""
        _require(request, object_id)
        form = DownloadForm(request.POST)
        if not form.is_valid():
            return self._show_stored(request, object_id, form, status=400)
        _record(request, object_id, Disclosure.What.DOWNLOADED, form.cleaned_data["reason"])
        pieces = stored_data.document(object_id, Path(settings.ARCHIVE_DIR))
        name = f"{object_id}-{timezone.localtime():%Y%m%d-%H%M}.json"
        return streamed(pieces, "application/json", name)

    def facts(self, record: Customer) -> Facts:
        return [
            (_("E-mail"), text(record.data, "email") or "–"),
            (_("Name"), text(record.data, "name") or "–"),
            (_("Phone"), text(record.data, "phone") or "–"),
            (_("Default payment method"), record.default_payment_method or _("none")),
            (_("Balance"), money.text(member(record.data, "balance"), text(record.data, "currency"))),
            (_("Created"), moment(record.created)),
            (_("Id"), record.pk),
            *([(pgettext("when", "Deleted"), moment(record.deleted_at))] if record.deleted_at else []),
        ]

    @admin.display(description=gettext_lazy("Name"))
    def name_(self, customer: Customer) -> SafeString:
        return format_html('<span class="strong">{}</span>', text(customer.data, "name") or _("No name"))

    @admin.display(description=gettext_lazy("E-mail"))
    def email_(self, customer: Customer) -> str:
        return text(customer.data, "email") or "–"
