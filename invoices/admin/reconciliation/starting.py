"""Starting a reconciliation run from the admin: the buttons, the permission, and the request to the workers."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from kombu.exceptions import OperationalError

from invoices import clock, tasks
from invoices.admin.links import page_url, url_of
from invoices.models import Invoice, ReconciliationRun
from invoices.reconcile import runs

Kind = ReconciliationRun.Kind
BUTTONS = {  # above the list: name and description; a run over one invoice starts from its page
    Kind.SWEEP: (gettext_noop("Sweep"), gettext_noop("Every invoice that is not final, and all of the last 30 days.")),
    Kind.FULL: (
        gettext_noop("Everything"),
        gettext_noop(
            "All invoices, payments, customers, PaymentIntents, charges, credit notes and refunds. Takes longest."
        ),
    ),
    Kind.VERIFY: (
        gettext_noop("Prove equality"),
        gettext_noop(
            "Every customer, invoice with all lines, payment, PaymentIntent, charge, credit note, refund. Heals "
            "nothing."
        ),
    ),
}


def may_start(request: HttpRequest) -> bool:
    return request.user.has_perm(runs.PERMISSION)


def startable() -> list[tuple[str, str, str]]:
    """Address, name and description of each kind of run in `BUTTONS`."""
    address = "admin:invoices_reconciliationrun_start"
    return [(reverse(address, args=[kind]), _(name), _(words)) for kind, (name, words) in BUTTONS.items()]


def start(request: HttpRequest, kind: str) -> HttpResponse:
    """POST: asks the workers for a run, over everything or over one invoice. If one of this kind is under way, shows
    that one."""
    if not may_start(request):
        raise PermissionDenied
    if kind not in runs.STARTABLE:
        raise Http404
    invoice = request.POST.get("invoice", "") if kind == Kind.INVOICE else ""
    if kind == Kind.INVOICE and not Invoice.objects.filter(pk=invoice).exists():
        raise Http404
    back = url_of("invoice", invoice) if invoice else reverse("admin:invoices_reconciliationrun_changelist")
    if running := runs.under_way(kind):
        since = timezone.localtime(running.started_at)
        said = _("One is under way since {time}; this is it. Another can begin when it has ended.")
        messages.info(request, said.format(time=date_format(since, "TIME_FORMAT")))
        return redirect(page_url(running))
    try:
        tasks.start_reconciliation.delay(kind, invoice, request.user.pk, clock.now())
    except (OperationalError, OSError):
        messages.warning(request, _("The workers cannot be reached just now, so nothing was started. Try again soon."))
    else:
        of_invoice = _("Asked for. This invoice is being compared with Stripe.")
        messages.success(request, of_invoice if invoice else _("Asked for. It begins within a few seconds."))
    return redirect(back)
