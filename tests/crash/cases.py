"""Every case of the matrix, and what must have come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

RECEIVED = {"method": "Check", "received_on": "2026-11-02", "reference": "no. 17"}


@dataclass(frozen=True)
class Deed:
    """One way to take an action: from which invoice, with what, and what Stripe has afterwards."""

    title: str
    action: str
    paths: tuple[str, ...]  # how the addresses of its calls end
    status: str  # of the invoice, when it took effect
    event: str  # that happens once for one effect
    params: dict[str, Any] = field(default_factory=dict, hash=False)
    charges: int = 0
    remaining: int = 1000
    draft: bool = False
    due: bool = False  # sent to the customer, who pays it
    intent: str = ""  # attached: one that succeeded, or one that is still to be paid


WHOLE = {**RECEIVED, "amount": 1000}
PART = {**RECEIVED, "amount": 400}
TWO = ("/report_payment", "/attach_payment")
DEEDS = (
    Deed("pay", "pay", ("/pay",), "paid", "invoice.paid", charges=1, remaining=0),
    Deed("pay, of a draft", "pay", ("/pay",), "paid", "invoice.paid", charges=1, remaining=0, draft=True),
    Deed("pay, out of band", "pay", ("/pay",), "paid", "invoice.paid", {"paid_out_of_band": True}, remaining=0),
    Deed("void", "void", ("/void",), "void", "invoice.voided"),
    Deed(
        "mark uncollectible",
        "mark_uncollectible",
        ("/mark_uncollectible",),
        "uncollectible",
        "invoice.marked_uncollectible",
    ),
    Deed("finalize", "finalize", ("/finalize",), "open", "invoice.finalized", draft=True),
    Deed("send", "send", ("/send",), "open", "invoice.sent", due=True),
    Deed(
        "attach payment, one that succeeded",
        "attach_payment",
        ("/attach_payment",),
        "paid",
        "invoice.paid",
        charges=1,
        remaining=0,
        intent="succeeded",
    ),
    Deed(
        "attach payment, one still to be paid", "attach_payment", ("/attach_payment",), "open", "", intent="to be paid"
    ),
    Deed(
        "attach out-of-band payment, the whole",
        "attach_out_of_band_payment",
        TWO,
        "paid",
        "invoice.paid",
        WHOLE,
        remaining=0,
    ),
    Deed(
        "attach out-of-band payment, a part",
        "attach_out_of_band_payment",
        TWO,
        "open",
        "invoice_payment.paid",
        PART,
        remaining=600,
    ),
)

# What Stripe, the network and others do at the first request that reaches them.
ANSWERS = {
    "success": "done, and answered",
    "webhook_first": "done; its events are processed here before the reply comes",
    "timeout_before": "no answer within the timeout; not done",
    "timeout_after": "no answer within the timeout; done",
    "drop": "done; the connection is cut instead of a reply",
    "500_before": "answered with 500; not done",
    "500_after": "answered with 500; done",
    "409": "answered with 409, the object is locked; not done",
    "409_in_use": "answered with 409, the key is in use: the network had sent the request twice; done",
    "429": "answered with 429 and a long wait; not done",
    "429_wait": "answered with 429 and a short wait; not done",
    "overtaken": "somebody else does the same just before; refused",
    "overtaken_lost": "… and the connection is cut instead of a reply",
}
# The same, for what is charged: which payment method, and which of the answers above.
CHARGES = {
    "declined": ("pm_card_chargeCustomerFail", "success", "the card is declined"),
    "declined_lost": ("pm_card_chargeCustomerFail", "drop", "… and the connection is cut instead of a reply"),
    "declined_500": ("pm_card_chargeCustomerFail", "500_after", "… and the reply is a 500"),
    "3ds": ("pm_card_authenticationRequired", "success", "the bank wants the customer to authenticate"),
    "3ds_lost": ("pm_card_authenticationRequired", "drop", "… and the connection is cut instead of a reply"),
    "3ds_500": ("pm_card_authenticationRequired", "500_after", "… and the reply is a 500"),
    "3ds_present_lost": (
        "pm_card_threeDSecure2Required",
        "drop",
        "the same with the customer present; the connection is cut instead of a reply",
    ),
    "3ds_present_500": ("pm_card_threeDSecure2Required", "500_after", "… and the reply is a 500"),
    "debit": ("pm_usBankAccount_processing", "success", "a bank debit is on its way"),
    "debit_lost": ("pm_usBankAccount_processing", "drop", "… and the connection is cut instead of a reply"),
    "debit_500": ("pm_usBankAccount_processing", "500_after", "… and the reply is a 500"),
}
SAYS = {**ANSWERS, **{name: says for name, (_, _, says) in CHARGES.items()}}

POINTS = {
    "": "nowhere",
    "requested": "after the request is committed",
    "claimed": "after the claim",
    "read": "after the fresh read",
    "stored 1": "what will be sent is committed, and not sent",
    "answered 1": "Stripe has answered, and nothing is written",
    "noted": "the answer to the first call is written",
    "stored 2": "what the second call will send is committed, and not sent",
    "answered 2": "Stripe has answered the second call, and nothing is written",
    "finishing": "in the middle of the finishing transaction",
    "finished": "after it",
}
FIRST = ("", "requested", "claimed", "read", "stored 1", "answered 1", "finishing", "finished")
SECOND = ("", "noted", "stored 2", "answered 2", "finishing", "finished")
# A second table: the performer lives and leaves an unknown outcome, and the process that settles it dies.
SETTLING = ("claimed", "read", "stored 1", "answered 1", "finishing", "finished")
LEFT_UNKNOWN = ("timeout_before", "drop", "500_before", "500_after")


@dataclass(frozen=True)
class Case:
    deed: Deed
    call: int  # at which of the action's calls the answer falls
    answer: str
    point: str
    settler: bool = False  # who dies: the process that settles, not the one that performs

    @property
    def id(self) -> str:
        who = "settler" if self.settler else "performer"
        where = POINTS.get(self.point, self.point)
        return f"{self.deed.title} · call {self.call} · {self.answer} · {who} killed {where}"

    @property
    def fault(self) -> str:
        """What the wire does."""
        fault = CHARGES[self.answer][1] if self.answer in CHARGES else self.answer
        return "" if fault == "success" else fault

    @property
    def params(self) -> dict[str, Any]:
        params = dict(self.deed.params)
        if self.answer in CHARGES:
            params["payment_method"] = CHARGES[self.answer][0]
        if self.answer.startswith("3ds_present"):
            params["off_session"] = False
        return params


def answers_of(deed: Deed, call: int) -> list[str]:
    answers = list(ANSWERS)
    if deed.action == "send":  # sending twice is no conflict: nobody is overtaken
        answers = [answer for answer in answers if not answer.startswith("overtaken")]
    if call == 1 and len(deed.paths) == 2:  # a payment record can be reported whatever others do
        answers = [answer for answer in answers if not answer.startswith("overtaken")]
    return answers + (list(CHARGES) if deed.charges and deed.action == "pay" else [])


def every_case() -> Iterator[Case]:
    for deed in DEEDS:
        for call in range(1, len(deed.paths) + 1):
            points = FIRST if call == 1 else SECOND
            for answer in answers_of(deed, call):
                for point in points:
                    yield Case(deed, call, answer, point)
    for deed in DEEDS:
        for call in range(1, len(deed.paths) + 1):
            for answer in LEFT_UNKNOWN:
                for point in SETTLING:
                    yield Case(deed, call, answer, point, settler=True)


@dataclass(frozen=True)
class Verdict:
    """What a case may come to: the operation's state and code, and by whom Stripe's invoice was changed."""

    outcomes: frozenset[tuple[str, str]]
    effect: str  # ours, theirs, none, processing


def verdict(case: Case, told: str = "") -> Verdict:
    """By the answer alone; the point at which a process died must not matter, except that a process that lives is told
    of a 429 or a refusal, and one that settles finds out. `told`: what it said, where the moment was left to chance."""
    answer = case.answer
    if answer == "429" and case.point.startswith("at"):
        point = "finished" if told == "stripe_unavailable" else "finishing"
        return verdict(replace(case, point=point))
    if answer.startswith("declined"):
        return Verdict(frozenset({("failed", "card_declined")}), "none")
    if answer.startswith("3ds"):
        return Verdict(frozenset({("failed", "authentication_required")}), "none")
    if answer.startswith("debit"):
        return Verdict(frozenset({("succeeded", "")}), "processing")
    if answer.startswith("overtaken"):
        return Verdict(frozenset({("failed", "stripe_refused"), ("failed", "invoice_changed")}), "theirs")
    if answer == "500_before":
        return Verdict(frozenset({("failed", "not_applied")}), "none")
    if answer == "429" and case.call == 1 and case.point in ("", "requested", "claimed", "read", "finished"):
        return Verdict(frozenset({("failed", "stripe_unavailable")}), "none")
    if answer == "429" and case.call == 1 and case.point == "finishing":
        return Verdict(frozenset({("succeeded", "")}), "ours")  # the failure was not committed; asked again, it is done
    return Verdict(frozenset({("succeeded", "")}), "ours")
