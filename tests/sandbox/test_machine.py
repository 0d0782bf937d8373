"""Random calls: no 5xx, no illegal change of status, and the books agree in the end.

SANDBOX_FUZZ=50 runs fifty times as many examples as the suite does.
"""

from __future__ import annotations

import os
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from sandbox.resources import ROUTES
from tests.sandbox.books import check_books
from tests.sandbox.contract import Contract, where
from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxProcess

TIMES = int(os.environ.get("SANDBOX_FUZZ", "1"))
QUIET: dict[str, Any] = {"deadline": None, "derandomize": TIMES == 1, "suppress_health_check": list(HealthCheck)}
CARDS = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired", "pm_usBankAccount_processing")
ACTIONS = ("finalize", "void", "mark_uncollectible", "send")
maybe = st.sampled_from(["", "true", "false"])
PROCESS: list[SandboxProcess] = []
DESCRIPTION = where()
CONTRACT = Contract(DESCRIPTION) if DESCRIPTION else None


class Machine(RuleBasedStateMachine):
    customers = Bundle("customers")
    invoices = Bundle("invoices")
    intents = Bundle("intents")

    def __init__(self) -> None:
        super().__init__()
        PROCESS[0].reset()
        self.shop = Shop(PROCESS[0])

    def call(self, path: str, **form: Any) -> Any:
        answer = self.shop.post(path, {name: one for name, one in form.items() if one != ""})
        assert answer.status < 500, answer
        return answer.json

    @rule(target=customers, card=st.sampled_from([None, *CARDS]), balance=st.sampled_from([0, -500, 300]))
    def new_customer(self, card: str | None, balance: int) -> str:
        customer = self.shop.v1.customers.create({"balance": balance})
        if card:
            method = self.shop.v1.payment_methods.attach(card, {"customer": customer.id})
            default = {"invoice_settings": {"default_payment_method": method.id}}
            self.shop.v1.customers.update(customer.id, default)
        return customer.id

    @rule(
        target=invoices,
        customer=customers,
        amounts=st.lists(st.integers(-200, 2000), max_size=12),
        auto_advance=st.booleans(),
        sent=st.booleans(),
    )
    def new_invoice(self, customer: str, amounts: list[int], auto_advance: bool, sent: bool) -> Any:
        how = {"collection_method": "send_invoice", "days_until_due": "3"} if sent else {}
        made = self.call("/v1/invoices", customer=customer, auto_advance=str(auto_advance).lower(), **how)
        if "id" not in made:
            return multiple()
        for amount in amounts:
            self.call("/v1/invoiceitems", customer=customer, invoice=made["id"], amount=str(amount))
        return made["id"]

    @rule(invoice=invoices, action=st.sampled_from(ACTIONS))
    def act(self, invoice: str, action: str) -> None:
        self.call(f"/v1/invoices/{invoice}/{action}")

    @rule(
        invoice=invoices,
        card=st.sampled_from(["", *CARDS, "pm_nope"]),
        out_of_band=maybe,
        off_session=maybe,
        forgive=maybe,
    )
    def pay(self, invoice: str, card: str, out_of_band: str, off_session: str, forgive: str) -> None:
        form = {"paid_out_of_band": out_of_band, "off_session": off_session, "forgive": forgive}
        self.call(f"/v1/invoices/{invoice}/pay", payment_method=card, **form)

    @rule(invoice=invoices, amount=st.integers(1, 3000), outcome=st.sampled_from(["guaranteed", "failed", None]))
    def attach_record(self, invoice: str, amount: int, outcome: str | None) -> None:
        record = self.shop.record(amount, outcome=outcome)
        self.call(f"/v1/invoices/{invoice}/attach_payment", payment_record=record.id)

    @rule(invoice=invoices, customer=customers, amount=st.integers(0, 3000), forgive=maybe)
    def pay_from_source(self, invoice: str, customer: str, amount: int, forgive: str) -> None:
        source = self.call("/v1/sources", type="ach_credit_transfer", amount=str(amount))["id"]
        self.call(f"/v1/customers/{customer}/sources", source=source)
        self.call(f"/v1/invoices/{invoice}/pay", source=source, forgive=forgive)

    @rule(target=intents, amount=st.integers(50, 3000), card=st.sampled_from(["", *CARDS]), confirm=maybe)
    def new_intent(self, amount: int, card: str, confirm: str) -> Any:
        form = {"amount": str(amount), "currency": "usd", "payment_method": card, "confirm": confirm if card else ""}
        made = self.call("/v1/payment_intents", **form)
        return made["id"] if "id" in made else multiple()

    @rule(invoice=invoices, intent=intents)
    def attach_intent(self, invoice: str, intent: str) -> None:
        self.call(f"/v1/invoices/{invoice}/attach_payment", payment_intent=intent)

    @rule(intent=intents, card=st.sampled_from(CARDS))
    def confirm_intent(self, intent: str, card: str) -> None:
        self.call(f"/v1/payment_intents/{intent}/confirm", payment_method=card)

    @rule(intent=intents)
    def cancel_intent(self, intent: str) -> None:
        self.call(f"/v1/payment_intents/{intent}/cancel")

    @rule(outcome=st.sampled_from(["succeeded", "failed"]))
    def settle_waiting_payments(self, outcome: str) -> None:
        for intent in self.shop.get("/v1/payment_intents", limit=100).json["data"]:
            if intent["status"] in ("processing", "requires_action"):
                self.shop.settle(intent["id"], outcome)

    @rule(invoice=consumes(invoices))
    def delete(self, invoice: str) -> None:
        assert self.shop.delete(f"/v1/invoices/{invoice}").status in (200, 400, 404)

    @rule(hours=st.sampled_from([1, 2, 24 * 3, 24 * 6]))
    def time_passes(self, hours: int) -> None:
        self.shop.process.clock(advance=hours * 3600)

    def teardown(self) -> None:
        check_books(self.shop)
        if CONTRACT:
            for event in self.shop.get("/v1/events", limit=25).json["data"]:
                obj = event["data"]["object"]
                CONTRACT.check_object("event", event)
                if CONTRACT.knows(obj["object"]):
                    CONTRACT.check_object(obj["object"], obj)


@pytest.fixture(scope="module", autouse=True)
def process(stand_in: SandboxProcess) -> Any:
    PROCESS.append(stand_in)
    yield
    PROCESS.clear()


def test_random_calls_keep_the_books_in_order() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Machine, settings=settings(max_examples=25 * TIMES, stateful_step_count=25, **QUIET))


NAMES = sorted({name for route in ROUTES for name in route.parameters})
WORDS = [
    "", "0", "1", "-1", "true", "usd", "card", "guaranteed", "99999999999999999999", "9" * 400, "1e9", "null",
    "pm_card_visa", "custom", "month", "\x00", "é", "%00", "'; --", "a" * 6000, "payment_method_update", "in_nope",
    "payment_intent",
]  # fmt: skip
values = st.sampled_from(WORDS) | st.text(max_size=12)
BRACKETS = ("", "[]", "[0]", "[a][b]", "[type]", "[0][amount]", "[gt]", "[currency]", "[value]", "[", "[[]")
brackets = st.sampled_from(BRACKETS)
names = st.builds(str.__add__, st.sampled_from(NAMES) | st.text(string.ascii_letters + "[]", max_size=6), brackets)


@settings(max_examples=250 * TIMES, **QUIET)
@given(route=st.sampled_from(ROUTES), form=st.lists(st.tuples(names, values), max_size=5), data=st.data())
def test_random_parameters_are_never_a_5xx(route: Any, form: list[tuple[str, str]], data: st.DataObject) -> None:
    shop = Shop(PROCESS[0])
    words = [part for part in route.pattern.split("/") if part.startswith(":")]
    path = route.pattern
    for word in words:
        existing = IDS.get(word, IDS[":invoice"])
        path = path.replace(word, data.draw(st.sampled_from(existing)), 1)
    needed = [(name, data.draw(values)) for name in route.required if data.draw(st.booleans())]
    answer = shop.ask(route.method, path, [*form, *needed])
    assert answer.status < 500, (route.name, form, answer)


IDS = {":invoice": ["in_nope", "%27", "%00"], ":customer": ["cus_nope"]}


@pytest.fixture(scope="module", autouse=True)
def existing_ids(stand_in: SandboxProcess) -> None:
    """Real ids: with unknown ids every random call would end at a 404."""
    stand_in.reset()
    shop = Shop(stand_in)
    customer = shop.customer("pm_card_visa")
    made = [shop.draft(500, customer), shop.open(500, customer)]
    intent = shop.v1.payment_intents.create({"amount": 50, "currency": "usd"})
    price = shop.v1.prices.create(
        {"currency": "usd", "unit_amount": 5, "recurring": {"interval": "day"}, "product_data": {"name": "P"}}
    )
    subscription = shop.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    item = shop.v1.invoice_items.create({"customer": customer.id, "amount": 5, "currency": "usd"})
    IDS.update(
        {
            ":invoice": [*(one.id for one in made), "in_nope", "%27", "%00"],
            ":customer": [customer.id, "cus_nope"],
            ":intent": [intent.id, "pi_nope"],
            ":invoiceitem": [item.id],
            ":payment_method": [customer.invoice_settings.default_payment_method, "pm_card_visa"],
            ":id": [shop.record(5).id, shop.record(5, outcome=None).id, subscription.id],
            ":event": [shop.events()[0].id],
        }
    )
