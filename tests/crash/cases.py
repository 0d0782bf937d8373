"""Every case of the matrix, and what must have come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from invoices.operations import ACTIONS

RECEIVED = {"method": "Check", "received_on": "2026-11-02", "reference": "no. 17"}


@dataclass(frozen=True)
class Deed:
    """One way to take an action: from which invoice, with what, and what Stripe has afterwards."""

    title: str
    action: str
    status: str  # of the invoice, when it took effect
    event: str  # that happens once for one effect
    params: dict[str, Any] = field(default_factory=dict, hash=False)
    charges: int = 0
    remaining: int = 1000
    draft: bool = False
    due: bool = False  # sent to the customer, who pays it
    intent: str = ""  # attached: one that succeeded, or one that is still to be paid
    repeatable: bool = False  # doing it twice is no conflict: nobody can be overtaken
    # A program asks for it, by API; or it is "approved" by a second person, or in a "batch" of two; or a program asks
    # for such a batch, by "token".
    way: str = ""

    @property
    def calls(self) -> int:
        """How many requests to Stripe it takes."""
        return len(ACTIONS[self.action].calls)

    def path(self, call: int, invoice: str) -> str:
        """The address of its first, second or third call, or the end of it, where an id in it is not known yet."""
        address = ACTIONS[self.action].calls[call - 1].path
        return address.format(invoice=invoice) if "{invoice}" in address else address.rpartition("}")[2]

    @property
    def makes_intent(self) -> bool:
        """Whether it charges a PaymentIntent of its own, which it takes back where it is not charged."""
        return self.action == "charge_part"


WHOLE = {**RECEIVED, "amount": 1000}
PART = {**RECEIVED, "amount": 400}
PAY = Deed("pay", "pay", "paid", "invoice.paid", charges=1, remaining=0)
SEND = Deed("send", "send", "open", "invoice.sent", due=True, repeatable=True)
ATTACH_PART = Deed(
    "attach out-of-band payment, a part",
    "attach_out_of_band_payment",
    "open",
    "invoice_payment.paid",
    PART,
    remaining=600,
)
CHARGE_PART = Deed(
    "charge part",
    "charge_part",
    "open",
    "invoice_payment.paid",
    {"amount": 400, "payment_method": "pm_card_visa"},
    charges=1,
    remaining=600,
)
APPROVED = Deed("void, approved by a second person", "void", "void", "invoice.voided", way="approved")
BY_TOKEN = Deed("pay, in a batch by token", "pay", "paid", "invoice.paid", charges=1, remaining=0, way="token")
IN_BATCH = Deed("pay, in a batch", "pay", "paid", "invoice.paid", charges=1, remaining=0, way="batch")
DEEDS = (
    PAY,
    Deed("pay, of a draft", "pay", "paid", "invoice.paid", charges=1, remaining=0, draft=True),
    Deed("pay, out of band", "pay", "paid", "invoice.paid", {"paid_out_of_band": True}, remaining=0),
    Deed("void", "void", "void", "invoice.voided"),
    Deed(
        "mark uncollectible",
        "mark_uncollectible",
        "uncollectible",
        "invoice.marked_uncollectible",
    ),
    Deed("finalize", "finalize", "open", "invoice.finalized", draft=True),
    SEND,
    Deed(
        "attach payment, one that succeeded",
        "attach_payment",
        "paid",
        "invoice.paid",
        charges=1,
        remaining=0,
        intent="succeeded",
    ),
    Deed("attach payment, one still to be paid", "attach_payment", "open", "", intent="to be paid"),
    Deed(
        "attach out-of-band payment, the whole",
        "attach_out_of_band_payment",
        "paid",
        "invoice.paid",
        WHOLE,
        remaining=0,
    ),
    ATTACH_PART,
    CHARGE_PART,
    APPROVED,
    IN_BATCH,
)
FORGIVING = Deed(
    "pay, of a draft, forgiving what is short",
    "pay",
    "paid",
    "invoice.paid",
    {"forgive": True},
    charges=1,
    remaining=0,
    draft=True,
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
# Answers to a charge: the payment method that it takes, which of the ANSWERS the wire gives, and a description.
CHARGE_ANSWERS = {
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
DESCRIPTIONS = {**ANSWERS, **{name: description for name, (_, _, description) in CHARGE_ANSWERS.items()}}

POINTS = {
    "": "nowhere",
    "judged": "the batch is judged, and not in the journal",
    "made": "the batch is in the journal, and nobody is told of it",
    "looked": "after the look at Stripe of the one who approves",
    "requested": "after the request, or the approval, is committed",
    "claimed": "after the claim",
    "read": "after the fresh read",
    "stored 1": "what will be sent is committed, and not sent",
    "answered 1": "Stripe has answered, and nothing is written",
    "noted": "the answer to the first call is written",
    "stored 2": "what the second call will send is committed, and not sent",
    "answered 2": "Stripe has answered the second call, and nothing is written",
    "noted 2": "the answer to the second call is written",
    "stored 3": "what the third call will send is committed, and not sent",
    "answered 3": "Stripe has answered the third call, and nothing is written",
    "stored 4": "the cancellation of what was not charged is committed, and not sent",
    "answered 4": "Stripe has answered the cancellation, and nothing is written",
    "finishing": "in the middle of the finishing transaction",
    "finished": "after it",
}
FIRST = ("", "requested", "claimed", "read", "stored 1", "answered 1", "finishing", "finished")
APPROVING = ("", "looked", *FIRST[1:])
MAKING = ("", "judged", "made", *FIRST[1:])
SECOND = ("", "noted", "stored 2", "answered 2", "finishing", "finished")
THIRD = ("", "noted 2", "stored 3", "answered 3", "stored 4", "answered 4", "finishing", "finished")
# A second table: the performer lives and leaves an unknown outcome, and the process that settles it dies.
SETTLING = ("claimed", "read", "stored 1", "answered 1", "finishing", "finished")
LEFT_UNKNOWN = ("timeout_before", "drop", "500_before", "500_after")
# A third: what becomes of the authority to act, once the process has come to the point. It dies there, or goes on.
WITHDRAWALS = {
    "permission": "who asked may not do this any more",
    "deactivated": "the account of who asked is deactivated",
    "token": "the API token with which it was asked for is revoked",
    "approver": "the account of who approved it is deactivated",
    "grown": "the amount at Stripe grows beyond the threshold; after the fresh read it is too late to notice",
    "withdrawn": "who asked takes it back; told that it is too late, once a process has claimed it",
    "cancelled": "the batch is cancelled",
    "paused": "the action is paused until after the next look",
    "paused_an_hour": "the action is paused for more than an hour",
}
# A fourth: the process goes on to the end; then the database is again as it was at the point.
RESTORES = {
    "asked_again": "the same is asked again first: under the same API key, by the same approval, in the same batch",
    "settled": "settling, and the batch, go on from the older copy",
}
UNSENT = ("requested", "claimed", "read")  # nothing has been stored of what will be sent
ONE_CALL = (*UNSENT, "stored 1", "answered 1")
TWO_CALLS = (*ONE_CALL, "noted", "stored 2", "answered 2")
THREE_CALLS = (*TWO_CALLS, "noted 2", "stored 3", "answered 3")
POINTS_OF_CALLS = {1: ONE_CALL, 2: TWO_CALLS, 3: THREE_CALLS}


@dataclass(frozen=True)
class Case:
    deed: Deed
    call: int  # at which of the action's calls the answer falls
    answer: str
    point: str
    settler: bool = False  # who dies: the process that settles, not the one that performs
    meanwhile: str = ""  # what happens as soon as the process has come to the point: of WITHDRAWALS, or of RESTORES
    goes_on: bool = False  # the process only stands still at the point, and goes on afterwards

    @property
    def id(self) -> str:
        who = "settler" if self.settler else "performer"
        where = POINTS.get(self.point, self.point)
        how = "stopped" if self.goes_on else "killed"
        return f"{self.deed.title} · call {self.call} · {self.row} · {who} {how} {where}"

    @property
    def row(self) -> str:
        """Of the table: what happens besides."""
        return self.meanwhile or self.answer

    @property
    def restored(self) -> bool:
        return self.meanwhile in RESTORES

    @property
    def fault(self) -> str:
        """What the wire does."""
        fault = CHARGE_ANSWERS[self.answer][1] if self.answer in CHARGE_ANSWERS else self.answer
        return "" if fault == "success" else fault

    @property
    def params(self) -> dict[str, Any]:
        params = dict(self.deed.params)
        if self.answer in CHARGE_ANSWERS:
            params["payment_method"] = CHARGE_ANSWERS[self.answer][0]
        if self.answer.startswith("3ds_present"):
            params["off_session"] = False
        return params


def answers_of(deed: Deed, call: int) -> list[str]:
    answers = list(ANSWERS)
    if deed.repeatable:
        answers = [answer for answer in answers if not answer.startswith("overtaken")]
    if deed.calls > 1 and call != 2:  # others can be faster only where the payment is attached
        answers = [answer for answer in answers if not answer.startswith("overtaken")]
    if deed.makes_intent and call == deed.calls:  # the customer is never present
        return answers + [answer for answer in CHARGE_ANSWERS if not answer.startswith("3ds_present")]
    chooses_method = deed.charges and deed.action == "pay" and not deed.way
    return answers + (list(CHARGE_ANSWERS) if chooses_method else [])


def every_case() -> Iterator[Case]:
    for deed in DEEDS:
        yield from _performer_dies(deed)
    for answer in ("success", "drop", "500_after"):
        for point in MAKING:
            yield Case(BY_TOKEN, 1, answer, point)
    for deed in DEEDS:
        yield from _settler_dies(deed)
    for goes_on in (True, False):
        for deed in (PAY, ATTACH_PART, CHARGE_PART, APPROVED, IN_BATCH, FORGIVING):
            yield from _authority_withdrawn(deed, goes_on)
    for deed in (PAY, SEND, ATTACH_PART, CHARGE_PART, APPROVED, IN_BATCH):
        yield from _database_restored(deed)


def cases_of(deed: Deed) -> Iterator[Case]:
    """The rows of one way to take an action."""
    yield from _performer_dies(deed)
    yield from _settler_dies(deed)


def _performer_dies(deed: Deed) -> Iterator[Case]:
    for call in range(1, deed.calls + 1):
        for answer in answers_of(deed, call):
            for point in (APPROVING if deed.way == "approved" else FIRST, SECOND, THIRD)[call - 1]:
                yield Case(deed, call, answer, point)


def _settler_dies(deed: Deed) -> Iterator[Case]:
    for call in range(1, deed.calls + 1):
        for answer in LEFT_UNKNOWN:
            for point in SETTLING:
                yield Case(deed, call, answer, point, settler=True)


def _authority_withdrawn(deed: Deed, goes_on: bool) -> Iterator[Case]:
    """While the process stands at the point, or after it has died there."""
    ways = {"": ("token", "withdrawn"), "approved": ("approver", "withdrawn"), "batch": ("cancelled",)}
    rows = ["permission", "deactivated", *ways[deed.way], "paused", "paused_an_hour"]
    points: tuple[str, ...] = POINTS_OF_CALLS[deed.calls]
    if deed is FORGIVING:
        rows, points = ["grown"], (*UNSENT, "stored 1")  # Stripe's answer is that it is no draft any more
    for row in rows:
        for point in points:
            yield Case(deed, 1, "success", point, meanwhile=row, goes_on=goes_on)


def _database_restored(deed: Deed) -> Iterator[Case]:
    """A copy from before it was asked for or approved can only be asked again."""
    for row in RESTORES:
        before = ("",) if row == "asked_again" else ()
        for point in (*before, *POINTS_OF_CALLS[deed.calls], "finishing"):
            yield Case(deed, 1, "success", point, meanwhile=row, goes_on=True)


@dataclass(frozen=True)
class Verdict:
    """What a case may come to: the operation's state and code, and by whom Stripe's invoice was changed."""

    outcomes: frozenset[tuple[str, str]]
    effect: str  # ours, theirs, none, processing
    reported: bool = False  # the first of two calls took effect, although the second did not


SUCCEEDED = Verdict(frozenset({("succeeded", "")}), "ours")


def verdict(case: Case, told: str = "") -> Verdict:
    """By the answer alone; the point at which a process died must not matter, except that a process that lives is told
    of a 429 or a refusal, and one that settles finds out. `told`: what it said, where the moment was left to chance."""
    answer = case.answer
    if case.meanwhile in WITHDRAWALS:
        return _verdict_without_authority(case)
    if case.restored and case.deed.way == "approved" and not case.point:
        # A request that still waits, on an invoice that is void: it is closed, and nothing is sent to ask whose doing
        # that was.
        return Verdict(frozenset({("failed", "invoice_not_open")}), "ours")
    if answer == "429" and case.point.startswith("at"):
        point = "finished" if told == "stripe_unavailable" else "finishing"
        return verdict(replace(case, point=point))
    if answer.startswith("declined"):
        return Verdict(frozenset({("failed", "card_declined")}), "none")
    if answer.startswith("3ds"):
        return Verdict(frozenset({("failed", "authentication_required")}), "none")
    if answer.startswith("debit"):
        return Verdict(frozenset({("processing", "")}), "processing")
    if answer.startswith("overtaken"):
        return Verdict(frozenset({("failed", "stripe_refused"), ("failed", "invoice_changed")}), "theirs")
    if answer == "500_before":
        return Verdict(frozenset({("failed", "not_applied")}), "none")
    if answer == "429" and case.call == 1 and case.point in ("", "looked", *UNSENT, "finished"):
        return Verdict(frozenset({("failed", "stripe_unavailable")}), "none")
    if answer == "429" and case.call == 1 and case.point == "finishing":
        return SUCCEEDED  # the failure was not committed; asked again, it is done
    return SUCCEEDED


def _verdict_without_authority(case: Case) -> Verdict:
    """Nothing is sent without authority, first or again. What was sent before is told from the evidence alone; where
    there is none, a manager says what came of it."""
    row, point, calls = case.meanwhile, case.point, case.deed.calls
    too_late = (row == "withdrawn" and point != "requested") or (row == "grown" and point == "read" and case.goes_on)
    if row == "paused" or too_late:
        return SUCCEEDED
    if point in UNSENT:
        state, code = {
            "approver": ("awaiting_approval", ""),
            "grown": ("awaiting_approval", ""),
            "withdrawn": ("cancelled", "withdrawn"),
            "cancelled": ("cancelled", "withdrawn"),
            "paused_an_hour": ("expired", "expired"),
        }.get(row, ("failed", "permission_denied"))
        return Verdict(frozenset({(state, code)}), "none")
    if point == f"answered {calls}" or (case.goes_on and point == f"stored {calls}"):
        return SUCCEEDED
    if case.deed.makes_intent and (point != "stored 1" or case.goes_on):  # it is taken back
        code = "expired" if row == "paused_an_hour" else "permission_denied"
        return Verdict(frozenset({("failed", code)}), "none")
    reported = calls == 2 and (point != "stored 1" or case.goes_on)
    if (point.startswith("stored") and not case.goes_on) or row == "paused_an_hour":  # whether it was sent is not known
        return Verdict(frozenset({("unknown", "outcome_unknown")}), "none", reported)
    return Verdict(frozenset({("failed", "permission_denied")}), "none", reported)
