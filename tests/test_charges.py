"""Charges in the mirror: every attempt to take money, by event, by list and beside its PaymentIntent; in the API, on
the pages, and after an upgrade."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import Permission, User
from django.test import Client

from invoices import customer_rows, erasure, gateway, mirror, reconcile, refetch, stored_data, sync
from invoices.admin import search
from invoices.models import (
    ApiToken,
    Charge,
    Drift,
    Event,
    InvoicePayment,
    PaymentIntent,
    ReconciliationRun,
    ScheduledRefetch,
    personal,
)
from invoices.reconcile import importing, suspects
from tests.factories import ChargeObject, RefundObject, customer_at, invoice_at, stored, user_in_group
from tests.helpers.commands import run_command
from tests.helpers.events import stripe_event
from tests.helpers.sdk import raised, refusal
from tests.helpers.snapshots import event
from tests.helpers.stripe_state import drain, unequal, without_delivery_time
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

DECLINED = "pm_card_visa_chargeDeclinedInsufficientFunds"


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A proof waits for events that no test sends meanwhile."""
    monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))
    settings.STRIPE_REQUESTS_PER_SECOND = 0


def declined_at(sandbox: SandboxProcess, invoice: str) -> None:
    with pytest.raises(stripe.CardError):
        sandbox.client().v1.invoices.pay(invoice, {"payment_method": DECLINED})


def paid_at(sandbox: SandboxProcess, declines: int = 0, **given: Any) -> Any:
    """An invoice at Stripe that its card has paid, after so many declines of another."""
    invoice = invoice_at(sandbox, **given)
    for _ in range(declines):
        declined_at(sandbox, invoice.id)
    return sandbox.client().v1.invoices.pay(invoice.id)


def charges_at(sandbox: SandboxProcess, **given: Any) -> list[Any]:
    return sandbox.client().v1.charges.list({"limit": 100, **given}).data


def traffic(sandbox: SandboxProcess) -> Any:
    """Charges of every fate: succeeded, declined twice before, of a debit that a bank accepts, refuses or still holds,
    refunded in part, refunded and sent back, changed, and without a PaymentIntent. The invoice with the declines."""
    client = sandbox.client().v1
    first = paid_at(sandbox, declines=2)
    for outcome in ("succeeded", "failed", ""):
        debit = invoice_at(sandbox, card="pm_usBankAccount_processing")
        client.invoices.pay(debit.id)
        if outcome:
            intent = client.invoices.retrieve(debit.id, {"expand": ["payments"]}).payments.data[0].payment
            sandbox.post(f"payment_intents/{intent.payment_intent}/settle", outcome=outcome)
    charge = charges_at(sandbox, customer=first.customer)[0].id
    client.refunds.create({"charge": charge, "amount": 300})
    back = client.refunds.create({"charge": charge, "amount": 200})
    sandbox.post(f"refunds/{back.id}/settle", outcome="failed")
    client.charges.update(charge, {"description": "For the books", "metadata": {"order": "17"}})
    client.charges.create({"amount": 700, "currency": "usd", "source": "pm_card_visa"})
    with pytest.raises(stripe.CardError):
        client.charges.create({"amount": 701, "currency": "usd", "source": "pm_card_chargeCustomerFail"})
    return first


def killed(*given: Any) -> None:
    raise KeyboardInterrupt


class TestByEvent:
    def test_every_attempt_is_here_and_equal_field_by_field(
        self, sandbox: SandboxProcess, deliver: Callable[[], int]
    ) -> None:
        invoice = traffic(sandbox)
        deliver()
        drain()
        assert Charge.objects.count() == len(charges_at(sandbox)) == 8
        assert unequal(sandbox, "charge") == []
        attempts = Charge.objects.filter(customer=invoice.customer).order_by("created", "pk")
        assert sorted(row.status or "" for row in attempts) == ["failed", "failed", "succeeded"]
        failed = Charge.objects.filter(customer=invoice.customer, status="failed")[0]
        assert (failed.failure_code, failed.amount, failed.currency) == ("card_declined", 1000, "usd")
        data: Any = failed.data
        assert data["outcome"]["reason"] == "insufficient_funds"
        assert data["payment_method_details"]["card"]["last4"] and data["payment_method_details"]["card"]["brand"]
        assert {row.payment_intent for row in attempts} == {
            InvoicePayment.objects.get(invoice_id=invoice.id).payment_intent
        }
        assert Charge.objects.get(customer=invoice.customer, status="succeeded").amount_refunded == 300

    @pytest.mark.parametrize("seed", range(4))
    def test_delivered_twice_and_in_any_order(
        self, sandbox: SandboxProcess, post_event: Callable[..., Any], seed: int
    ) -> None:
        """All within a second or two, so that the stamps tell little."""
        chance = random.Random(seed)
        traffic(sandbox)
        kinds = ("charge", "refund", "payment_intent")
        events = [each for each in gateway.walk("/v1/events") if each["data"]["object"]["object"] in kinds]
        hostile = events * 2
        chance.shuffle(hostile)
        for each in hostile:
            assert post_event(each).status_code == 200
            if chance.random() < 0.3:
                sync.process_events()
        drain()
        assert unequal(sandbox, "charge") == []

    @pytest.mark.parametrize("ended", ["succeeded", "failed"])
    @pytest.mark.parametrize("first", [0, 1])
    def test_a_charge_is_never_pending_again(self, ended: str, first: int) -> None:
        """Also where the stamps tell nothing: both are of one second."""
        both = [event(ChargeObject(id="ch_1", status="pending")), event(ChargeObject(id="ch_1", status=ended))]
        for each in (both[first], both[1 - first]):
            mirror.store([each])
        assert Charge.objects.get().status == ended

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_a_late_page_beside_a_newer_webhook(
        self, sandbox: SandboxProcess, post_event: Callable[..., Any], order: tuple[int, ...]
    ) -> None:
        """A page that was read before a refund, and stored after its event; and the event of before."""
        charge = paid_and_read(sandbox)
        page, _ = gateway.list_page("charge")
        sandbox.client().v1.refunds.create({"charge": charge, "amount": 400})
        events = {each["type"]: each for each in gateway.walk("/v1/events")}
        comes = [
            lambda: mirror.store(page),
            lambda: post_event(events["charge.refunded"]),
            lambda: post_event(events["charge.succeeded"]),
        ]
        for number in order:
            comes[number]()
            sync.process_events()
        drain()
        assert Charge.objects.get().amount_refunded == 400 and unequal(sandbox, "charge") == []

    def test_of_a_refund_that_fails_no_event_tells_the_charge(
        self, sandbox: SandboxProcess, deliver: Callable[[], int]
    ) -> None:
        charge = paid_and_read(sandbox)
        refund = sandbox.client().v1.refunds.create({"charge": charge})
        deliver()
        drain()
        assert Charge.objects.get().amount_refunded == 1000
        sandbox.post(f"refunds/{refund.id}/settle", outcome="failed")
        deliver()
        assert ScheduledRefetch.objects.filter(object_type="charge", object_id=charge).exists()
        drain()
        assert Charge.objects.get().amount_refunded == 0 and unequal(sandbox, "charge") == []
        before = sandbox.stats()["requests"].get("GET /v1/charges/:id", 0)
        reconcile.sweep_lists("full")
        drain()
        assert sandbox.stats()["requests"].get("GET /v1/charges/:id", 0) == before  # it failed once

    @pytest.mark.parametrize("known", [True, False])
    def test_of_a_dispute_no_event_tells_the_charge(
        self, sandbox: SandboxProcess, deliver: Callable[[], int], known: bool
    ) -> None:
        charge = paid_and_read(sandbox)
        deliver()
        drain()
        if not known:
            Charge.rows.all().delete()
        sandbox.post(f"charges/{charge}/dispute")
        deliver()
        told = Event.objects.get(type="charge.dispute.created")
        assert (told.state, told.object_type, told.object_id) == ("done", "charge", charge)
        drain()
        row: Any = Charge.objects.get()
        assert row.data["disputed"] is True and unequal(sandbox, "charge") == []

    def test_a_dispute_in_a_batch_that_fails_is_not_lost(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The worker is killed after it asked for the charge and before the event was done."""
        charge = paid_and_read(sandbox)
        sandbox.post(f"charges/{charge}/dispute")
        reconcile.catch_up()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(sync.owed, "owe", killed)
            sync.process_events()
        assert not ScheduledRefetch.objects.exists()
        drain()
        assert unequal(sandbox, "charge") == []

    def test_a_dispute_of_another_version_or_without_a_charge(self, post_event: Callable[..., Any]) -> None:
        named: tuple[Any, ...] = ("ch_1", {"id": "ch_1", "object": "charge"}, None, 7, "", "ch_\x00", {"id": None})
        for number, charge in enumerate(named):
            given = {"object": "dispute", "id": f"du_{number}", "charge": charge}
            told = stripe_event(id=f"evt_{number}", type="charge.dispute.closed", data={"object": given})
            assert post_event(told | {"api_version": "2019-01-01"}).status_code == 200
            sync.process_events()
            assert Event.objects.get(pk=f"evt_{number}").state == ("done" if number < 2 else "ignored")
        assert list(ScheduledRefetch.objects.values_list("object_type", "object_id")) == [("charge", "ch_1")]

    def test_a_list_with_an_old_failed_refund_asks_for_nothing(self) -> None:
        stored(ChargeObject(id="ch_1"))
        stored(RefundObject(id="re_1", charge="ch_1", status="failed"))
        assert not ScheduledRefetch.objects.exists()

    @pytest.mark.parametrize(
        "odd", [{"payment_intent": ["pi_1"]}, {"outcome": "none", "amount": "7", "created": "now"}]
    )
    def test_odd_shapes_are_stored_as_they_came(self, odd: dict[str, Any], desk: Client) -> None:
        data = {"object": "charge", "id": "ch_1", "status": "failed", "payment_method_details": {"type": 5}, **odd}
        mirror.store([event(data)])
        row = Charge.objects.get()
        assert row.data == data and row.wrong_columns() == {}
        assert desk.get("/admin/invoices/charge/ch_1/").status_code == 200
        assert desk.get("/admin/invoices/charge/").status_code == 200


def paid_and_read(sandbox: SandboxProcess) -> str:
    """An invoice that was paid, and its charge, read here. The charge's id."""
    paid_at(sandbox)
    (charge,) = charges_at(sandbox)
    refetch.refetch("charge", charge.id)
    return str(charge.id)


class TestBesideThePaymentIntent:
    def test_one_read_brings_both_and_the_intent_is_as_stripe_shows_it_alone(self, sandbox: SandboxProcess) -> None:
        paid_at(sandbox, declines=1)
        intent = charges_at(sandbox)[0].payment_intent
        before = sum(sandbox.stats()["requests"].values())
        refetch.refetch("payment_intent", str(intent))
        assert sum(sandbox.stats()["requests"].values()) == before + 1
        alone = json.loads(sandbox.client().raw_request("get", f"/v1/payment_intents/{intent}").body)
        assert PaymentIntent.objects.get().data == alone and isinstance(alone["latest_charge"], str)
        assert Charge.objects.get().pk == alone["latest_charge"]  # the one before comes by its event, or a list

    def test_an_intent_that_nobody_has_charged(self, sandbox: SandboxProcess) -> None:
        intent = sandbox.client().v1.payment_intents.create({"amount": 500, "currency": "eur"})
        refetch.refetch("payment_intent", intent.id)
        assert PaymentIntent.objects.get().data == intent.to_dict() and not Charge.objects.exists()


class TestReconciliation:
    @pytest.mark.parametrize("kind", ["sweep", "full"])
    def test_what_lacks_or_differs_is_healed_and_recorded(self, sandbox: SandboxProcess, kind: str) -> None:
        paid_at(sandbox)
        assert reconcile.sweep_lists("full").exit_code == 0
        drain()
        known = Charge.objects.get()
        sandbox.client().v1.charges.update(known.pk, {"description": "It never came"})
        invoice = paid_at(sandbox, declines=1)
        missed = {one.id for one in charges_at(sandbox, customer=invoice.customer)}
        run = reconcile.sweep_lists(kind)
        drain()
        assert run.exit_code == 3 and unequal(sandbox, "charge") == []
        found = {(drift.kind, drift.object_id, drift.field) for drift in Drift.objects.filter(object_type="charge")}
        assert found == {("differs", known.pk, "description")} | {("missing_here", id, "") for id in missed}
        assert len(missed) == 2

    def test_a_proof_names_each_difference(self, sandbox: SandboxProcess) -> None:
        paid_at(sandbox, declines=1)
        assert reconcile.sweep_lists("full").exit_code == 0
        drain()
        code, run = proved()
        assert code == 0 and run["report"]["kinds"]["charge"]["here"] == 2
        (day,) = (day for day in run["report"]["days"] if day["object"] == "charge")
        assert day["ours"]["groups"] == {"usd failed": [1, 1000, 0, 0], "usd succeeded": [1, 1000, 1000, 0]}
        first, second = Charge.objects.order_by("pk")
        Charge.objects.filter(pk=first.pk).update(data={**(first.data or {}), "amount": 1}, amount=1)
        Charge.objects.filter(pk=second.pk).update(failure_code="wrong")
        code, run = proved()
        assert code == 3
        assert {(drift["kind"], drift["id"], drift["field"]) for drift in run["drift"]} == {
            ("differs", first.pk, "amount"),
            ("column", second.pk, "failure_code"),
        }

    def test_a_new_address_of_the_receipt_is_no_difference(self) -> None:
        first = ChargeObject(id="ch_1")
        mirror.store([event(first)])
        (outcome,) = mirror.store([event({**first, "receipt_url": "https://pay.stripe.com/receipts/payment/2"}, 1)])
        assert outcome.decision is mirror.Decision.CONFIRM and not ScheduledRefetch.objects.exists()

    def test_after_an_upgrade_they_are_imported_and_no_drift(self, sandbox: SandboxProcess) -> None:
        """An installation that imported everything before charges were mirrored."""
        paid_at(sandbox, declines=1)
        run = reconcile.sweep_lists("full")
        drain()
        Charge.rows.all().delete()
        progress = run.progress
        run.progress = replace(
            progress,
            windows=[window for window in progress.windows if window["object"] != "charge"],
            finished=[name for name in progress.finished if name.partition("/")[0] != "charge"],
            importing={object: value for object, value in progress.importing.items() if object != "charge"},
        )
        run.save()
        code, said = proved()
        assert code == 3 and said["drift"] == [] and said["report"]["kinds"]["charge"]["found"] == {"not_imported": 2}
        again = reconcile.sweep_lists("full")
        assert (again.exit_code, again.imported) == (0, 2) and importing.is_over("charge")
        assert proved()[0] == 0 and not Drift.objects.exists()
        assert ReconciliationRun.objects.filter(kind="full").count() == 2

    def test_the_catch_up_brings_what_webhooks_lost_and_a_replay_what_was_ignored(
        self, sandbox: SandboxProcess
    ) -> None:
        paid_at(sandbox, declines=1)
        reconcile.catch_up()
        sync.process_events()
        assert unequal(sandbox, "charge") == []
        Charge.rows.all().delete()
        Event.objects.filter(object_type="charge").update(state="ignored", error="of a kind that is not mirrored")
        assert sync.replay() == 2
        drain()
        assert unequal(sandbox, "charge") == []


def proved() -> tuple[int, dict[str, Any]]:
    code, said = run_command("reconcile", "--verify", "--json")
    return code, json.loads(said)


# --- the API ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def api(live_server: Any, agent: User) -> stripe.StripeClient:
    """The official SDK with a token of ours, which may only read what the mirror holds."""
    token = ApiToken.objects.create(agent, name="ledger", scopes="read")[1]
    return stripe.StripeClient(token, base_addresses={"api": live_server.url})


def body_of(client: stripe.StripeClient, path: str, **params: Any) -> Any:
    return json.loads(client.raw_request("get", path, **params).body)


class TestApi:
    @pytest.fixture
    def history(self, sandbox: SandboxProcess) -> Any:
        invoice = traffic(sandbox)
        reconcile.sweep_lists("full")
        drain()
        return invoice

    def test_every_list_page_and_object_is_as_stripe_answers(
        self, sandbox: SandboxProcess, api: stripe.StripeClient, history: Any
    ) -> None:
        found = charges_at(sandbox)
        ids, intent = [one.id for one in found], next(one.payment_intent for one in found if one.payment_intent)
        refund = sandbox.client().v1.refunds.list().data[0].id
        (payment,) = api.v1.invoice_payments.list({"invoice": history.id}).data
        deep = "payments.data.payment.payment_intent.latest_charge"
        before = sandbox.stats()["requests"]
        asked: list[tuple[str, dict[str, Any]]] = [
            ("/v1/charges", {"limit": 100}),
            ("/v1/charges", {"limit": 3}),
            ("/v1/charges", {"limit": 3, "starting_after": ids[2]}),
            ("/v1/charges", {"limit": 3, "ending_before": ids[5]}),
            ("/v1/charges", {"customer": history.customer}),
            ("/v1/charges", {"payment_intent": intent}),
            ("/v1/charges", {"customer": history.customer, "created": {"gte": history.created}}),
            ("/v1/charges", {"created": {"lt": 1}}),
            ("/v1/charges", {"expand": ["data.payment_intent.latest_charge", "data.customer"]}),
            *((f"/v1/charges/{id}", {}) for id in ids),
            (f"/v1/charges/{ids[0]}", {"expand": ["customer"]}),
            (f"/v1/payment_intents/{intent}", {"expand": ["latest_charge.customer"]}),
            ("/v1/payment_intents", {"expand": ["data.latest_charge"]}),
            (f"/v1/refunds/{refund}", {"expand": ["charge.payment_intent"]}),
            (f"/v1/invoice_payments/{payment.id}", {"expand": ["payment.payment_intent.latest_charge"]}),
            (f"/v1/invoices/{history.id}", {"expand": [deep]}),
        ]
        ours = [body_of(api, path, **params) for path, params in asked]
        assert sandbox.stats()["requests"] == before  # all of it from the mirror
        for (path, params), one in zip(asked, ours, strict=True):
            theirs = body_of(sandbox.client(), path, **params)
            assert without_delivery_time(one) == without_delivery_time(theirs), (path, params)

    def test_the_sdks_own_methods_an_older_version_too(
        self, sandbox: SandboxProcess, live_server: Any, agent: User, history: Any
    ) -> None:
        secret = ApiToken.objects.create(agent, name="older", any_stripe_version=True)[1]
        for version in (None, "2024-06-20", "2022-08-01"):
            client = stripe.StripeClient(secret, base_addresses={"api": live_server.url}, stripe_version=version)
            walked = list(client.v1.charges.list({"limit": 3}).auto_paging_iter())
            assert [one.id for one in walked] == [one.id for one in charges_at(sandbox)]
            one = client.v1.charges.retrieve(walked[-1].id)
            assert one.to_dict() == sandbox.client().v1.charges.retrieve(one.id).to_dict()

    def test_one_that_is_not_here_is_read_once_and_stored(
        self, sandbox: SandboxProcess, api: stripe.StripeClient
    ) -> None:
        invoice = paid_at(sandbox, declines=1)
        for one in charges_at(sandbox, customer=invoice.customer):
            for source in ("stripe", "mirror"):
                answer = api.raw_request("get", f"/v1/charges/{one.id}")
                assert json.loads(answer.body) == one.to_dict()
                assert answer.headers["Invoice-Desk-Source"] == source
        assert sandbox.stats()["requests"]["GET /v1/charges/:id"] == 2
        assert unequal(sandbox, "charge") == []

    def test_an_etag_and_who_must_not_read_older(self, sandbox: SandboxProcess, live_server: Any, agent: User) -> None:
        import requests

        charge = paid_and_read(sandbox)
        key = (ApiToken.objects.create(agent, name="etag")[1], "")
        address = f"{live_server.url}/v1/charges/{charge}"
        first = requests.get(address, auth=key, timeout=60)
        again = requests.get(address, auth=key, headers={"If-None-Match": first.headers["ETag"]}, timeout=60)
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        sandbox.client().v1.refunds.create({"charge": charge, "amount": 400})
        changed: Any = sandbox.client().v1.events.list({"type": "charge.refunded"}).data[0]
        later = {"Invoice-Desk-Not-Before": str(changed.created + 4)}
        assert requests.get(address, auth=key, timeout=60).json()["amount_refunded"] == 0
        read = requests.get(address, auth=key, headers=later, timeout=60)
        assert read.json()["amount_refunded"] == 400 and read.headers["Invoice-Desk-Source"] == "stripe"

    @pytest.mark.parametrize(
        ("path", "params"),
        [
            ("/v1/charges/ch_nope", {}),
            ("/v1/charges", {"starting_after": "ch_nope"}),
            ("/v1/charges", {"status": "failed"}),
            ("/v1/charges", {"transfer_group": "ORDER"}),
            ("/v1/charges", {"created": {"gte": "x"}}),
            ("/v1/charges", {"limit": "many"}),
        ],
    )
    def test_refused_as_stripe_refuses(
        self, sandbox: SandboxProcess, api: stripe.StripeClient, path: str, params: dict[str, Any]
    ) -> None:
        assert refusal(sandbox.client(), path, params) == refusal(api, path, params)

    def test_only_with_the_permission_also_where_it_is_expanded(
        self, sandbox: SandboxProcess, live_server: Any
    ) -> None:
        paid_at(sandbox)
        reconcile.sweep_lists("full")
        narrow = user_in_group("narrow", None)
        seen = ("view_paymentintent", "view_invoice", "view_invoicepayment", "view_refund", "pay_invoice")
        narrow.user_permissions.set(Permission.objects.filter(codename__in=seen))
        secret = ApiToken.objects.create(narrow, name="narrow")[1]
        client = stripe.StripeClient(secret, base_addresses={"api": live_server.url})
        intent = PaymentIntent.objects.get().pk
        assert isinstance(client.v1.payment_intents.retrieve(intent).latest_charge, str)
        for path, params in {
            "/v1/charges": {},
            f"/v1/charges/{Charge.objects.get().pk}": {},
            f"/v1/payment_intents/{intent}": {"expand": ["latest_charge"]},
            "/v1/changes": {"types": ["charge"]},
        }.items():
            with pytest.raises(stripe.PermissionError):
                client.raw_request("get", path, **params)

    def test_writing_and_searching_are_not_served_here(self, api: stripe.StripeClient) -> None:
        for method, path in (
            ("post", "/v1/charges"),
            ("post", "/v1/charges/ch_1"),
            ("post", "/v1/charges/ch_1/capture"),
        ):
            with pytest.raises(stripe.InvalidRequestError) as caught:
                api.raw_request(method, path, amount=1)
            assert raised(caught).code == "not_served", path
        with pytest.raises(stripe.StripeError) as refused:
            api.raw_request("get", "/v1/charges/search", query="status:'failed'")
        assert raised(refused).code in ("not_served", "permission_denied")

    def test_feed_and_files(self, sandbox: SandboxProcess, live_server: Any, agent: User, history: Any) -> None:
        import requests

        key = (ApiToken.objects.create(agent, name="files")[1], "")
        changes: list[Any] = []
        after = 0
        while True:
            asked: dict[str, Any] = {"after": after, "types[]": "charge", "limit": 100}
            page = requests.get(f"{live_server.url}/v1/changes", params=asked, auth=key, timeout=60).json()
            changes += page["data"]
            if not page["has_more"]:
                break
            after = page["next"]
        newest = {change["object_id"]: change["snapshot"] for change in changes}
        theirs = {one.id: one.to_dict() for one in charges_at(sandbox)}
        assert newest == theirs and {change["object_type"] for change in changes} == {"charge"}
        lines = requests.get(f"{live_server.url}/v1/charges.ndjson", auth=key, timeout=60).text.splitlines()
        assert {one["id"]: one for one in map(json.loads, lines)} == theirs
        table = requests.get(f"{live_server.url}/v1/charges.csv", auth=key, timeout=60).text
        assert len(table.splitlines()) == len(theirs) + 1


# --- pages, and what is a customer's ----------------------------------------------------------------------------------


class TestPages:
    def test_lists_pages_and_links(self, sandbox: SandboxProcess, desk: Client) -> None:
        invoice = paid_at(sandbox, declines=1)
        reconcile.sweep_lists("full")
        failed, paid = Charge.objects.get(status="failed"), Charge.objects.get(status="succeeded")
        intent = PaymentIntent.objects.get().pk
        for address, words in {
            "/admin/invoices/charge/": (failed.pk, paid.pk, "USD 10.00", "Visa ••••", "insufficient funds"),
            f"/admin/invoices/charge/?q={intent}": (failed.pk, paid.pk),
            f"/admin/invoices/charge/{failed.pk}/": ("insufficient funds", intent, invoice.id, "Visa ••••"),
            f"/admin/invoices/charge/{paid.pk}/": ("succeeded", intent, invoice.id, "USD 10.00"),
            f"/admin/invoices/paymentintent/{intent}/": (f"/admin/invoices/charge/{paid.pk}/",),
        }.items():
            page = desk.get(address).content.decode()
            assert all(word in page for word in words), (address, words)
        # An earlier attempt too leads to the invoice.
        assert search.exact(failed.pk) == search.exact(paid.pk) == invoice.id
        assert search.exact("ch_nope") is None

    def test_a_person_who_may_not_see_them_sees_none(self, client: Client) -> None:
        stored(ChargeObject(id="ch_1"))
        person = user_in_group("only_invoices", None)
        person.user_permissions.set(Permission.objects.filter(codename="view_invoice"))
        client.force_login(person)
        for address in ("/admin/invoices/charge/", "/admin/invoices/charge/ch_1/"):
            assert client.get(address).status_code == 403


class TestErasure:
    NAME = "Zoë Quistgaard"

    def test_nothing_of_it_is_left(
        self,
        sandbox: SandboxProcess,
        deliver: Callable[[], int],
        post_event: Callable[..., Any],
        manager: User,
        tmp_path: Path,
        settings: Any,
    ) -> None:
        settings.ARCHIVE_DIR = tmp_path / "none"
        id = str(customer_at(sandbox, name=self.NAME, email="zoe@example.org").id)
        paid_at(sandbox, declines=1, customer=id)
        for one in charges_at(sandbox, customer=id):
            sandbox.client().v1.charges.update(one.id, {"description": f"For {self.NAME}"})
        paid_at(sandbox)
        said = {"customer_purchase_ip": "203.0.113.77", "customer_email_address": "other-zq@example.net"}
        said |= {"uncategorized_text": "She has Zq-moved", "shipping_date": "2026-01-02"}
        dispute = {"object": "dispute", "id": "du_1", "charge": charges_at(sandbox, customer=id)[0].id}
        told = stripe_event(dispute | {"evidence": said}, id="evt_disputed", type="charge.dispute.updated")
        assert post_event(told).status_code == 200
        deliver()
        drain()
        held = {holding.table.name: holding.count for holding in stored_data.holdings(id)}
        assert held["charges"] == erasure.preview(id).charges == 2
        sandbox.post(f"customers/{id}/redact")
        erasure.check(id, tmp_path)
        made = erasure.begin(id, reason="asked for it", actor=manager, shell_user="")
        assert erasure.perform(made, tmp_path).left == []
        rows = list(customer_rows.charges(id))
        assert {row.data["description"] for row in rows if row.data} == {personal.REDACTED}
        assert sorted((row.status, row.amount) for row in rows) == [("failed", 1000), ("succeeded", 1000)]
        assert "Quistgaard" not in "\n".join(Event.objects.values_list("body", flat=True))
        # A dispute names the charge alone, and what the bank is told has members of its own.
        told = json.loads(Event.objects.get(pk="evt_disputed").body)["data"]["object"]
        assert told == dispute | {"evidence": dict.fromkeys(said, personal.REDACTED)}
        # What comes once more, of before the erasure, brings nothing back.
        older = ChargeObject(id=rows[0].pk, customer=id, description=f"For {self.NAME}", created=rows[0].created)
        older["created"] = (rows[0].data or {})["created"]
        mirror.store([event(older, 60)])
        assert "Quistgaard" not in json.dumps(Charge.objects.get(pk=rows[0].pk).data)
        drain()
        assert unequal(sandbox, "charge") == []

    def test_while_stripe_still_has_it_nothing_begins(self, sandbox: SandboxProcess, tmp_path: Path) -> None:
        id = str(customer_at(sandbox, name=self.NAME).id)
        paid_at(sandbox, customer=id)
        reconcile.sweep_lists("full")
        sandbox.post(f"customers/{id}/redact")
        (charge,) = charges_at(sandbox, customer=id)
        sandbox.client().v1.charges.update(charge.id, {"description": f"For {self.NAME}"})
        with pytest.raises(erasure.CannotErase, match=charge.id):
            erasure.check(id, tmp_path)

    def test_what_is_personal_of_a_charge(self) -> None:
        charge = ChargeObject(
            billing_details={"name": self.NAME, "email": "zoe@example.org", "address": {"city": "Aarhus"}},
            description=f"For {self.NAME}",
            receipt_email="zoe@example.org",
            status="failed",
            failure_code="card_declined",
        )
        without = personal.redacted(charge)
        written = json.dumps(without, ensure_ascii=False)
        assert not any(word in written for word in ("Quistgaard", "zoe@", "Aarhus", "4242", "pay.stripe.com"))
        assert (without["status"], without["failure_code"], without["amount"]) == ("failed", "card_declined", 1000)
        assert without["payment_method_details"]["card"]["brand"] == "visa"

    def test_one_that_names_no_customer_is_found_by_its_payment(self) -> None:
        intent = {"type": "payment_intent", "payment_intent": "pi_1"}
        mirror.store(
            [
                event({"object": "invoice", "id": "in_1", "customer": "cus_1", "status": "paid"}),
                event({"object": "invoice_payment", "id": "inpay_1", "invoice": "in_1", "payment": intent}),
                event({"object": "invoice_payment", "id": "inpay_2", "invoice": "in_1", "payment": {"charge": "ch_3"}}),
                event(ChargeObject(id="ch_1", payment_intent="pi_1", customer=None)),
                event(ChargeObject(id="ch_2", payment_intent="pi_2", customer=None)),
                event(ChargeObject(id="ch_3", payment_intent=None, customer=None)),
                event(RefundObject(id="re_1", payment_intent=None, charge="ch_1", customer=None)),
            ]
        )
        assert customer_rows.charge_ids("cus_1") == {"ch_1", "ch_3"} and customer_rows.refund_ids("cus_1") == {"re_1"}
