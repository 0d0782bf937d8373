"""The actions that an invoice's page offers: which is the main one, which are not possible now, which never again."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from invoices.admin import access
from invoices.admin.invoices import wording
from invoices.admin.links import dashboard_url
from invoices.models import Invoice
from invoices.operations import ACTIONS, Action, Invalid, Refusal, eligibility


@dataclass
class OfferedAction:
    """An action that this person has the permission for.

    `refusal`: why it is not possible now, whatever its parameters (None: it is). `caution`: why it is not possible
    without other parameters, such as another payment method. `is_main`: it is the one that this status asks for. It
    stays the main one while it is refused: no other action takes its place, where somebody might press it unread.
    """

    action: Action
    refusal: Refusal | None
    caution: Refusal | None
    is_main: bool = False

    @property
    def reason(self) -> str:
        """Why not, for people."""
        return self.refusal.message.replace("`", "") if self.refusal else ""


class Offers:
    """What this person can do with an invoice, by its status, and why not."""

    def __init__(self, invoice: Invoice, request: HttpRequest, *, lacks_default: bool = False) -> None:
        self.invoice, self.request = invoice, request
        self.lacks_default = lacks_default  # a charge without a choice would be refused

    @cached_property
    def offered(self) -> list[OfferedAction]:
        """Those that apply to the status now or later, whether or not they are possible in this moment. What takes
        money or a debt away stands last; everything else keeps its place."""
        known = eligibility.circumstances_of([self.invoice])
        offered = [self._offer(action, known) for action in self._permitted if action not in self._over]
        return sorted(offered, key=lambda each: each.action.danger)

    @cached_property
    def _permitted(self) -> list[Action]:
        return access.allowed(self.request)

    @cached_property
    def _over(self) -> list[Action]:
        """Those that can never be done to this invoice again."""
        return [action for action in self._permitted if eligibility.is_over(action, self.invoice)]

    def _offer(self, action: Action, known: eligibility.Circumstances) -> OfferedAction:
        refusal = eligibility.check_any_parameters(action, self.invoice, known)
        caution = eligibility.check(action, self.invoice, {}, known) if refusal is None else None
        is_main = action is _main_action(self.invoice) and not (self.lacks_default and action.charges({}))
        return OfferedAction(action, refusal, None if isinstance(caution, Invalid) else caution, is_main)

    @property
    def possible(self) -> list[Action]:
        return [each.action for each in self.offered if each.refusal is None]

    @property
    def cautions(self) -> list[tuple[str, str]]:
        """The label of an action that is possible only with other parameters than the default ones, and why."""
        return [(_(each.action.label), each.caution.message) for each in self.offered if each.caution]

    @property
    def impossible(self) -> list[tuple[str, str]]:
        """The labels of the actions that are impossible now for the same reason, and the reason."""
        reasons: dict[str, list[str]] = {}
        for each in self.offered:
            if each.refusal is not None:
                reasons.setdefault(each.reason, []).append(_(each.action.label))
        return [(", ".join(labels), reason) for reason, labels in reasons.items()]

    @property
    def over(self) -> str:
        """Which actions can never be done to this invoice again, and why: one sentence for all. Empty if there are
        none."""
        # Before the end there is nothing to explain: nobody looks for Finalize on an open invoice.
        if not self._over or (self.invoice.status == "open" and not self.invoice.deleted_at):
            return ""
        state = _("deleted") if self.invoice.deleted_at else _(str(self.invoice.status))
        if not self.offered:
            return _("This invoice is {state}: nothing more can be done to it here.").format(state=state)
        sentence = _("No longer possible, because this invoice is {state}: {actions}.")
        return sentence.format(state=state, actions=_names(self._over))

    @property
    def way_back(self) -> str:
        """How a debt that was given up can be billed again; empty where the question does not arise."""
        found = wording.WAYS_BACK.get(self.invoice.status or "") if not self.invoice.deleted_at else None
        if found and self.invoice.status == "uncollectible" and self.invoice.amount_paid:
            found = wording.NO_WAY_TO_VOID
        return _(found) if found else ""

    @property
    def way_back_address(self) -> str:
        """Stripe's screen on which it is duplicated."""
        return dashboard_url(f"invoices/{self.invoice.pk}", self.invoice.livemode)


def _names(actions: Iterable[Action]) -> str:
    return ", ".join(_(action.label) for action in actions)


def _main_action(invoice: Invoice) -> Action | None:
    """The first action for this status, whoever looks, and whatever is possible now. Of a draft it is Finalize: nothing
    is owed before."""
    if invoice.status == "draft":
        return ACTIONS["finalize"]
    return next((action for action in ACTIONS.values() if invoice.status in action.statuses), None)
