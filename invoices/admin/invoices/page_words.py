"""The words on an invoice's page: its state in three sentences, who decided about it, and the customer's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Sum
from django.utils.functional import cached_property

from invoices import clock, promises, recorded
from invoices.admin import access
from invoices.admin.formatting import local_times
from invoices.admin.invoices import customer_text, state_in_words
from invoices.admin.invoices.situation import Name, Situation
from invoices.admin.payments import wording as payment_wording
from invoices.models import Charge, CreditNote, Operation, PaymentIntent, Promise
from invoices.models.reading import member
from invoices.operations import money_under_way, pauses

if TYPE_CHECKING:
    from invoices.admin.invoices.page import InvoicePage


class PageWords:
    """The words of one invoice's page. What they are made of is read once, when the template first needs it."""

    def __init__(self, page: InvoicePage) -> None:
        self.page, self.invoice, self.request = page, page.invoice, page.request

    @cached_property
    def situation(self) -> Situation:
        page, intent = self.page, self._intent
        processing = [payment.row.amount_requested or 0 for payment in page.payments if payment.processing]
        under_way = page.under_way
        if not processing and under_way and under_way.operation:
            processing = [money_under_way.amount_of(under_way.operation) or 0]
        promise, became = self._promise
        return Situation(
            self.invoice,
            contradicted=bool(page.contradictions),
            unfinished=page.unfinished,
            waits=page.waiting is not None,
            returned=bool(page.returned),
            processing=sum(processing) if processing else None,
            intent=intent,
            card=self._card if intent and intent.error_message else "",
            reason=self._reason,
            advice=page.help.advice if page.help else None,
            credited=self._credited,
            paused=self._paused,
            lacks_default=page.lacks_default,
            promise=promise,
            is_promised=became == Promise.State.OPEN,
        )

    @cached_property
    def state(self) -> state_in_words.InWords:
        return state_in_words.in_words(
            self.situation,
            sees_operation=self._sees(self.situation.unfinished),
            sees_promise=self.request.user.has_perm(promises.VIEW),
        )

    @property
    def decided(self) -> str:
        """Who approved or rejected the newest operation that a second person decided."""
        decided = (each for each in self.page.operations if each.approver_id and self._sees(each))
        return state_in_words.decided_by(next(decided, None))

    # --- the text for the customer --------------------------------------------------------------------------------

    @cached_property
    def language(self) -> str:
        wanted = self.request.GET.get("language") or self.request.POST.get("language") or ""
        return customer_text.chosen(wanted, self.page.customer)

    @property
    def languages(self) -> list[tuple[str, str, bool]]:
        """Code and name of each language, and whether the text is in it."""
        return [(code, name, code == self.language) for code, name in customer_text.LANGUAGES.items()]

    @property
    def text(self) -> str:
        return customer_text.text(self.situation, self.language)

    def text_with(self, card_link: str) -> str:
        """The same with the address on which the customer updates the card."""
        return customer_text.text(self.situation, self.language, card_link=card_link)

    @property
    def is_certain(self) -> bool:
        """Whether the text can be sent: no newer state is awaited."""
        return self.situation.name not in {Name.WAITING, Name.UNKNOWN}

    # --- what it is made of ---------------------------------------------------------------------------------------

    def _sees(self, operation: Operation | None) -> bool:
        return access.may_see(self.request, operation)

    @cached_property
    def _intent(self) -> PaymentIntent | None:
        """Of the payments that are still open: the one whose last charge was declined, or that the customer must
        confirm; else the newest."""
        intents = [payment.intent for payment in self.page.payments if payment.row.status == "open" and payment.intent]
        telling = (each for each in intents if each.error_message or each.status == "requires_action")
        return next(telling, intents[0] if intents else None)

    @cached_property
    def _card(self) -> str:
        """What the declined charge was charged to, where the reader may see charges."""
        intent = self._intent
        if intent is None or not intent.latest_charge or not self.request.user.has_perm("invoices.view_charge"):
            return ""
        charge = Charge.objects.filter(pk=intent.latest_charge).first()
        return payment_wording.charged_to(charge.data) if charge else ""

    @property
    def _reason(self) -> str:
        """Why the last charge was declined: as the mirror has it, or as the journal has, which may know it before."""
        intent, last = self._intent, next(iter(self.page.operations), None)
        if intent and intent.error_message:
            return payment_wording.decline_reason(member(intent.data, "last_payment_error"))
        if last and last.state == Operation.State.FAILED and self._sees(last):
            return local_times(recorded.shown(last.message), last.finished_at)
        return ""

    @cached_property
    def _credited(self) -> int:
        """The sum of the credit notes that stand, in minor units."""
        if not self.request.user.has_perm("invoices.view_creditnote"):
            return 0
        found = CreditNote.objects.filter(invoice_id=self.invoice.pk, status="issued", currency=self.invoice.currency)
        return found.aggregate(sum=Sum("amount"))["sum"] or 0

    @cached_property
    def _paused(self) -> str:
        """Why nothing can be charged now; empty if it can."""
        if self.invoice.status != "open":
            return ""
        pause = pauses.of_action("pay")
        return local_times(recorded.shown(pauses.in_words(pause))) if pause else ""

    @cached_property
    def _promise(self) -> tuple[Promise | None, str]:
        """The last promise and what has become of it, while it stands or when it was broken. Whoever reads the page:
        the text for the customer must not remind of what is promised."""
        last = next(iter(promises.history(self.invoice.pk, 1)), None)
        became = promises.state_of(last, self.invoice, clock.now())[0] if last else ""
        return (last, became) if became in (Promise.State.OPEN, Promise.State.BROKEN) else (None, "")
