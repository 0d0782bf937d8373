"""Saved views of a list: the row above the list, and saving, opening, renaming, sharing and deleting one.

A view is opened through an address of its own, which looks whether the list still understands what was saved.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from invoices import written
from invoices.admin.paging import AFTER, BEFORE
from invoices.models import (
    Charge,
    CreditNote,
    Customer,
    Invoice,
    InvoicePayment,
    Operation,
    PaymentIntent,
    Refund,
    SavedView,
    SignInRecord,
)
from invoices.models.saved_views import MAX_NAME_LENGTH, MAX_QUERY_LENGTH
from invoices.operations import Invalid

LISTS = (Invoice, Customer, InvoicePayment, PaymentIntent, Charge, CreditNote, Refund, Operation, SignInRecord)
SHARE = "invoices.share_savedview"
MAX_VIEWS = 30  # of one person and list; and of the shared ones of a list, as many are shown
PLACE = (AFTER, BEFORE, "p", "e")  # of the list's address, what is no part of a view


class ViewForm(forms.Form):
    """The name of a view, and whether it is shared. `query` is what the list showed when it was saved."""

    name = forms.CharField(
        label=gettext_lazy("Name of the view"),
        max_length=MAX_NAME_LENGTH,
        help_text=gettext_lazy(
            "Such as “Overdue, over EUR 1,000”. Without names of customers: views may be seen by others."
        ),
        error_messages={"required": gettext_lazy("Please give the view a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    shared = forms.BooleanField(label=gettext_lazy("Share with everybody who may see this list"), required=False)
    query = forms.CharField(required=False, max_length=MAX_QUERY_LENGTH, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, may_share: bool, **options: Any) -> None:
        super().__init__(data, **options)
        if not may_share:
            del self.fields["shared"]

    def clean_name(self) -> str:
        name = " ".join(self.cleaned_data["name"].split())
        try:
            return written.clean(name, "name", most=MAX_NAME_LENGTH, called=_("The name"))
        except Invalid as error:
            raise forms.ValidationError(error.message) from error


def urls(admin: Any) -> list[URLPattern]:
    """The addresses of a list's views, for the lists that have them."""
    if admin.model not in LISTS:
        return []
    return [
        admin.at("views/", partial(_guarded, admin, save), "save_view"),
        admin.at("views/<int:view_id>/", partial(_guarded, admin, open_view), "open_view"),
        admin.at("views/<int:view_id>/change/", partial(_guarded, admin, change), "change_view_of_list"),
        admin.at("views/<int:view_id>/delete/", partial(_guarded, admin, delete), "delete_view_of_list"),
    ]


def panel(admin: Any, request: HttpRequest) -> dict[str, Any] | None:
    """What the row above the list shows: own views first, then what others share. None where the list has none."""
    if admin.model not in LISTS or not admin.has_view_permission(request):
        return None
    present = _canonical(request.GET)
    rows = []
    for view in _visible(admin, request)[: 2 * MAX_VIEWS]:
        own = view.owner_id == request.user.pk
        rows.append(
            {
                "name": view.name,
                "address": _address(admin, "open_view", view.pk),
                "change": _address(admin, "change_view_of_list", view.pk) if own or _may_share(request) else "",
                "shared_by": "" if own else view.owner.get_username(),
                "is_shared": view.shared,
                "chosen": _canonical(QueryDict(view.query)) == present,
            }
        )
    return {
        "rows": sorted(rows, key=lambda row: (bool(row["shared_by"]), str(row["name"]).casefold())),
        "save": _address(admin, "save_view"),
        "query": present,
        "may_share": _may_share(request),
        "max_name_length": MAX_NAME_LENGTH,
    }


def save(admin: Any, request: HttpRequest) -> HttpResponse:
    """POST: keeps what the list shows under a name."""
    form = ViewForm(request.POST, may_share=_may_share(request))
    if form.is_valid():
        query = _canonical(QueryDict(form.cleaned_data["query"]))
        problem = _problem(admin, request, query)
        own = SavedView.objects.filter(owner=_person(request), list=admin.opts.model_name)
        existing = own.filter(name=form.cleaned_data["name"]).first()
        if problem:
            form.add_error(None, _("It was not saved.") + f" {problem}")
        elif existing and existing.query == query:  # sent twice
            return redirect(_list(admin, query))
        elif own.count() >= MAX_VIEWS:
            form.add_error(
                None,
                _("You have {count} views of this list. Delete one that you no longer need first.").format(
                    count=MAX_VIEWS
                ),
            )
        elif _stored(form, SavedView(owner=_person(request), list=admin.opts.model_name, query=query)):
            messages.success(
                request, _("Saved as “{name}”. It stands above the list.").format(name=form.cleaned_data["name"])
            )
            return redirect(_list(admin, query))
    return _ask(admin, request, form, _("Save this view"), _address(admin, "save_view"), status=400)


def open_view(admin: Any, request: HttpRequest, view_id: int) -> HttpResponse:
    """GET: leads to the list as it was saved; where the list no longer understands that, it says so."""
    view = _visible(admin, request).filter(pk=view_id).first()
    if view is None:
        messages.warning(request, _("This view is not here any more: it was deleted, or is shared no longer."))
        return redirect(_list(admin))
    problem = _problem(admin, request, view.query)
    if problem:
        messages.warning(
            request, _("The view “{name}” cannot be shown as it was saved.").format(name=view.name) + f" {problem}"
        )
        return redirect(_list(admin))
    return redirect(_list(admin, view.query))


def change(admin: Any, request: HttpRequest, view_id: int) -> HttpResponse:
    """GET: the form; POST: renames the view, shares it, or shares it no longer."""
    view = _changeable(admin, request, view_id)
    known = {"name": view.name, "shared": view.shared, "query": view.query}
    form = ViewForm(request.POST or None, may_share=_may_share(request), initial=known)
    if request.method == "POST" and form.is_valid() and _stored(form, view):
        messages.success(
            request,
            (
                _("The view is called “{name}” and is shared.") if view.shared else _("The view is called “{name}”.")
            ).format(name=view.name),
        )
        return redirect(_list(admin, view.query))
    address = _address(admin, "change_view_of_list", view.pk)
    return _ask(
        admin,
        request,
        form,
        _("View “{name}”").format(name=view.name),
        address,
        view,
        status=400 if form.errors else 200,
    )


def delete(admin: Any, request: HttpRequest, view_id: int) -> HttpResponse:
    """POST: deletes a view."""
    view = _changeable(admin, request, view_id)
    view.delete()
    messages.success(request, _("The view “{name}” is deleted.").format(name=view.name))
    return redirect(_list(admin))


METHODS: dict[Any, Any] = {
    save: require_POST,
    open_view: require_GET,
    change: require_http_methods(["GET", "POST"]),
    delete: require_POST,
}


def _guarded(admin: Any, view: Any, request: HttpRequest, **place: Any) -> HttpResponse:
    """Only for whoever may see the list."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    return METHODS[view](lambda request: view(admin, request, **place))(request)


def _stored(form: ViewForm, view: SavedView) -> bool:
    """Whether it could be stored under this name; if not, the form says why."""
    view.name = form.cleaned_data["name"]
    view.shared = form.cleaned_data.get("shared", view.shared)
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError:
        theirs = _("{person} has a view of this name already. Choose another one, or delete that one first.")
        own = _("You have a view of this name already. Choose another one, or delete that one first.")
        form.add_error("name", theirs.format(person=view.owner.get_username()) if view.pk else own)
        return False
    return True


def _visible(admin: Any, request: HttpRequest) -> Any:
    seen = Q(owner=_person(request)) | Q(shared=True)
    return SavedView.objects.filter(seen, list=admin.opts.model_name).select_related("owner").order_by("-shared", "pk")


def _changeable(admin: Any, request: HttpRequest, view_id: int) -> SavedView:
    """A person's own view; for those who may share, also a shared one of somebody else."""
    view = _visible(admin, request).filter(pk=view_id).first()
    if view is None:
        raise Http404
    if view.owner_id != request.user.pk and not _may_share(request):
        raise PermissionDenied
    return view


def _problem(admin: Any, request: HttpRequest, query: str) -> str:
    """Why the list cannot show this; empty if it can."""
    asked = copy(request)
    asked.GET = QueryDict(query)
    asked.method = "GET"
    try:
        shown = admin.get_changelist_instance(asked)
    except IncorrectLookupParameters:
        return _("It has a filter that this list does not know. Choose the filters again, and save them as a new view.")
    return " ".join(shown.problems)


def _ask(
    admin: Any,
    request: HttpRequest,
    form: ViewForm,
    title: str,
    address: str,
    view: SavedView | None = None,
    *,
    status: int,
) -> HttpResponse:
    query = view.query if view else _canonical(QueryDict(form["query"].value() or ""))
    context = {
        "title": title,
        "form": form,
        "address": address,
        "view": view,
        "delete": _address(admin, "delete_view_of_list", view.pk) if view else "",
        "back": _list(admin, query),
    }
    return admin.show(request, "admin/shared/saved_view.html", context, status=status)


def _may_share(request: HttpRequest) -> bool:
    return request.user.has_perm(SHARE)


def _person(request: HttpRequest) -> Any:
    return request.user


def _canonical(query: QueryDict) -> str:
    """The same text for the same view: without the place of the page and what is empty, in the order of the names."""
    kept = QueryDict(mutable=True)
    for name in sorted(query):
        if name not in PLACE and (values := [value for value in query.getlist(name) if value]):
            kept.setlist(name, values)
    return kept.urlencode()


def _address(admin: Any, name: str, *args: Any) -> str:
    return reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_{name}", args=args)


def _list(admin: Any, query: str = "") -> str:
    address = _address(admin, "changelist")
    return f"{address}?{query}" if query else address
