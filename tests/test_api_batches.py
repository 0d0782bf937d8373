"""Batches by token: previewed, made with the sums told, followed, decided on by others; sent twice, killed, revoked."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from invoices import clock, erasure, operations, refetch
from invoices.admin.links import page_url
from invoices.models import ApiToken, Batch, Invoice, Operation
from invoices.models.batch_items import sums_of
from invoices.operations import batch as batches
from invoices.operations import batch_by_token, requesters
from tests.factories import InvoiceObject, customer_at, invoice_at, stored, user_in_group
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
BATCHES = "/v1/batches"
State = Operation.State


class Caller:
    def __init__(self, user: User, made_by: User | None = None, **token: Any) -> None:
        given = {"name": "dunning service", "created_by": made_by or user, **token}
        self.token, key = ApiToken.objects.create(user, **given)
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str) -> Any:
        return Client().get(path, headers=self.headers)

    def post(self, path: str, asked: dict[str, Any], **headers: str) -> Any:
        return Client().post(path, asked, "application/json", headers={**self.headers, **headers})

    def form(self, path: str, asked: dict[str, Any]) -> Any:
        return Client().post(path, urlencode(asked), "application/x-www-form-urlencoded", headers=self.headers)

    def ask(self, invoices: list[str], key: str = "", /, **asked: Any) -> Any:
        sums = sums_of(Invoice.objects.filter(pk__in=invoices))
        asked = {"action": "void", "invoices": invoices, "expected": sums, **asked}
        return self.post(BATCHES, asked, **({"Idempotency-Key": key} if key else {}))


@pytest.fixture
def caller(agent: User) -> Caller:
    return Caller(agent)


def some(number: int, **given: Any) -> list[str]:
    objects = [InvoiceObject(**{"currency": "usd", **given}) for _ in range(number)]
    for each in objects:
        stored(each)
    return [each["id"] for each in objects]


def at_stripe(sandbox: SandboxProcess, number: int, **given: Any) -> list[str]:
    customer = customer_at(sandbox).id
    ids = [str(invoice_at(sandbox, customer=customer, **given).id) for _ in range(number)]
    for id in ids:
        refetch.refetch("invoice", id)
    return ids


def made(answer: Any) -> Batch:
    assert answer.status_code == 200, answer.content
    return Batch.objects.get(pk=answer.json()["id"])


def error(answer: Any, status: int = 400) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()["error"]


def nothing_was_made() -> bool:
    return not Batch.objects.exists() and not Operation.objects.exists()


# --- from the preview to the outcome ----------------------------------------------------------------------------------


def test_previewed_made_and_followed(caller: Caller, sandbox: SandboxProcess) -> None:
    ids = at_stripe(sandbox, 3)
    paid = at_stripe(sandbox, 1)
    sandbox.client().v1.invoices.pay(paid[0])
    refetch.refetch("invoice", paid[0])
    found = caller.post(f"{BATCHES}/preview", {"action": "void", "invoices": [*ids, *paid, "in_none"]}).json()
    assert (found["invoices"], found["sums"], found["approval"]) == (ids, {"usd": 3000}, None)
    assert {each["code"]: each["invoices"] for each in found["left_alone"]} == {
        "invoice_not_open": paid,
        "resource_missing": ["in_none"],
    }
    assert nothing_was_made()
    answer = caller.post(
        BATCHES,
        {"action": "void", "invoices": found["invoices"], "expected": found["sums"]},
        **{"Idempotency-Key": "of tonight", "Invoice-Desk-Reason": "a wrong run", "Invoice-Desk-Ticket": "T-1"},
    )
    said = answer.json()
    batch = made(answer)
    assert answer["Idempotency-Key"] == "of tonight" and "Idempotent-Replayed" not in answer
    assert (said["source"], said["token"]["name"], said["progress"]) == ("api", "dunning service", {"waiting": 3})
    assert (batch.reason, batch.ticket, batch.token) == ("a wrong run", "T-1", caller.token)
    assert batches.run_due() == 1
    followed = caller.get(f"{BATCHES}/{batch.pk}?wait=5").json()
    assert followed["finished"] and followed["progress"] == {"succeeded": 3, "waiting": 0}
    its = caller.get(f"/v1/operations?batch={batch.pk}").json()["data"]
    assert {(each["source"], each["token"]["name"], each["reason"]) for each in its} == {
        ("api", "dunning service", "a wrong run")
    }


def test_a_form_says_the_same_as_json(caller: Caller) -> None:
    ids = some(2, amount_remaining=700)
    asked = {"action": "attach_out_of_band_payment", "invoices[0]": ids[0], "invoices[1]": ids[1]}
    asked |= {"expected[usd]": "1400", "parameters[method]": "Check", "parameters[received_on]": "2026-11-02"}
    batch = made(caller.form(BATCHES, asked))
    assert batch.params["method"] == "Check" and [item.invoice for item in batch.items] == ids
    assert batch.reason == "dunning service"


def test_what_is_out_of_band_takes_what_remains_of_each(caller: Caller, sandbox: SandboxProcess) -> None:
    ids = at_stripe(sandbox, 1, amount=700) + at_stripe(sandbox, 1, amount=900)
    received = {"method": "Check", "received_on": "2026-11-02"}
    batch = made(caller.ask(ids, action="attach_out_of_band_payment", parameters=received))
    batches.run_due()
    assert batches.progress(batch) == {"succeeded": 2, "waiting": 0}
    assert sorted(each.params["amount"] for each in batch.operations.all()) == [700, 900]


# --- what is asked for wrongly makes nothing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"action": None}, "action"),
        ({"action": "finalize"}, "action"),
        ({"action": ["void"]}, "action"),
        ({"invoices": None}, "invoices"),
        ({"invoices": "in_1"}, "invoices"),
        ({"invoices": [7]}, "invoices[0]"),
        ({"invoices": ["in_1" * 100]}, "invoices[0]"),
        ({"invoices": ["in_a", "in_a"]}, "invoices"),
        ({"invoices": ["in_none"]}, "invoices"),
        ({"expected": None}, "expected"),
        ({"expected": {}}, "expected"),
        ({"expected": "1000"}, "expected"),
        ({"expected": {"usd": "a lot"}}, "expected[usd]"),
        ({"expected": {"usd": {"x": "1"}}}, "expected[usd]"),
        ({"expected": {"usd": 999}}, "expected[usd]"),
        ({"expected": {"eur": 1000}}, "expected[eur]"),
        ({"expected": {"usd": 1000, "eur": 0}}, "expected[eur]"),
        ({"parameters": {"amount": 5}}, "parameters[amount]"),
        ({"parameters": "x"}, "parameters"),
        ({"action": "pay", "parameters": {"payment_method": "pm_1"}}, "parameters[payment_method]"),
        ({"action": "attach_out_of_band_payment"}, "parameters[method]"),
        (
            {"action": "attach_out_of_band_payment", "parameters": {"method": "Check", "received_on": "2999-01-01"}},
            "parameters[received_on]",
        ),
        ({"reason": "because"}, "reason"),
    ],
)
def test_wrong(caller: Caller, changes: dict[str, Any], param: str) -> None:
    asked = {"action": "void", "invoices": some(1, amount_remaining=1000), "expected": {"usd": 1000}} | changes
    assert error(caller.post(BATCHES, {name: value for name, value in asked.items() if value is not None}))[
        "param"
    ] == (param)
    assert nothing_was_made()


def test_the_refusal_says_what_the_sums_are_and_which_may_not(caller: Caller) -> None:
    ids = some(2, amount_remaining=1000) + some(1, amount_remaining=300, currency="eur")
    said = error(caller.ask(ids, expected={"usd": 2001}))["message"]
    assert "expected[eur]=300 and expected[usd]=2000" in said
    said = error(caller.ask([*ids, *some(7, status="paid")]))["message"]
    assert "7 of these 10" in said and "And 2 more" in said and "preview" in said
    assert nothing_was_made()


def test_as_many_as_in_the_admin_and_no_more(caller: Caller) -> None:
    """A form of ten thousand ids is half a megabyte."""
    asked: dict[str, Any] = {f"invoices[{place}]": f"in_1TYA{place:020d}" for place in range(batches.MAX_INVOICES)}
    answer = caller.form(f"{BATCHES}/preview", {"action": "void", **asked})
    assert answer.status_code == 200 and len(answer.json()["left_alone"][0]["invoices"]) == batches.MAX_INVOICES
    asked["invoices[10000]"] = "in_more"
    said = error(caller.form(f"{BATCHES}/preview", {"action": "void", **asked}))
    assert said["param"] == "invoices" and "at most 10000" in said["message"]


# --- who may ----------------------------------------------------------------------------------------------------------


def test_the_scope_is_that_of_the_action_and_the_permission_the_users(agent: User, auditor: User) -> None:
    ids = some(1)
    for scopes in ("read", "read feed approve pass_through", "read pay"):
        assert error(Caller(agent, scopes=scopes).ask(ids), 403)["code"] == "permission_denied"
        asked = {"action": "void", "invoices": ids}
        assert error(Caller(agent, scopes=scopes).post(f"{BATCHES}/preview", asked), 403)
    assert "void" in error(Caller(auditor).ask(ids), 403)["message"]
    assert nothing_was_made()
    batch = made(Caller(agent, scopes="void").ask(ids))  # and it need not be for reading
    assert error(Caller(agent, scopes="void").get(f"{BATCHES}/{batch.pk}"), 403)


def test_paused_nothing_is_made_and_the_preview_says_so(caller: Caller, manager: User) -> None:
    ids = some(1)
    operations.pauses.begin("void", "an audit", by=manager)
    asked = {"action": "void", "invoices": ids}
    assert "an audit" in caller.post(f"{BATCHES}/preview", asked).json()["paused"]
    assert error(caller.ask(ids), 503)["code"] == "actions_paused"
    assert nothing_was_made()


def test_nobody_approves_what_his_token_asked_for(
    sandbox: SandboxProcess, manager: User, settings: Any, agent: User
) -> None:
    """Neither the user of the token nor who made it, nor who may make such tokens. The same holds for each of its
    operations, where a second person is asked about it alone."""
    settings.APPROVAL_THRESHOLDS = {"default": 15}
    service = user_in_group("dunning", "Service")
    boss = user_in_group("boss", "Billing manager")
    minter = user_in_group("minter", "Billing manager")
    minter.user_permissions.add(Permission.objects.get(codename="add_service_token"))
    ids = at_stripe(sandbox, 2)
    caller = Caller(service, made_by=manager)
    found = caller.post(f"{BATCHES}/preview", {"action": "void", "invoices": ids}).json()["approval"]
    assert found["amount"] == 2000 and "USD 15.00" in found["reason"]
    batch = made(caller.ask(ids))
    assert batch.awaiting_approval and batches.run_due() == 0
    for person in (manager, User.objects.get(pk=minter.pk)):
        with pytest.raises(operations.Refusal, match="dunning service"):
            batches.approve(batch, approver=person)
    own = made(Caller(manager).ask(at_stripe(sandbox, 2)))
    with pytest.raises(operations.Refusal, match="your own"):
        batches.approve(own, approver=manager)
    batches.approve(batch, approver=boss)
    batches.run_due()
    assert batches.progress(batch) == {"succeeded": 2, "waiting": 0}
    one = batch.operations.all()[0]
    assert one.approver == boss and requesters.decision_refusal(one, manager) is not None


def test_the_page_of_one_made_by_token_names_the_token_and_refuses_its_maker(
    client: Client, manager: User, settings: Any
) -> None:
    settings.APPROVAL_THRESHOLDS = {"default": 1}
    batch = made(Caller(user_in_group("dunning", "Service"), made_by=manager).ask(some(2)))
    client.force_login(manager)
    page = client.get(page_url(batch)).content.decode()
    assert "With the API token" in page and "which you made" in page and "Approve all" not in page


# --- sent twice, killed, changed in between ---------------------------------------------------------------------------


def test_the_same_key_is_the_same_batch_whatever_became_of_it(caller: Caller, sandbox: SandboxProcess) -> None:
    ids = at_stripe(sandbox, 2)
    sums = {"usd": 2000}
    first = caller.ask(ids, "k", expected=sums)
    batches.run_due()
    again = caller.ask(ids, "k", expected=sums)
    assert made(again) == made(first) and again["Idempotent-Replayed"] == "true"
    assert again["Original-Request"] == first["Request-Id"] and again.json()["progress"]["succeeded"] == 2
    others: list[dict[str, Any]] = [{"action": "pay"}, {"expected": {"usd": 2001}}, {"invoices": ids[:1]}]
    for other in others:
        said = error(caller.ask(ids, "k", **{"expected": sums, **other}))
        assert said["type"] == "idempotency_error" and "'k'" in said["message"]
    assert Batch.objects.count() == 1 and sandbox.stats()["requests"]["POST /v1/invoices/:id/void"] == 2


def test_a_key_is_for_a_batch_or_for_a_single_action(caller: Caller, sandbox: SandboxProcess) -> None:
    one, two = at_stripe(sandbox, 2)
    made(caller.ask([one], "batch"))
    answer = caller.post(f"/v1/invoices/{two}/void", {}, **{"Idempotency-Key": "batch"})
    assert error(answer)["type"] == "idempotency_error"
    assert caller.post(f"/v1/invoices/{two}/void", {}, **{"Idempotency-Key": "single"}).status_code == 200
    assert error(caller.ask([one], "single"))["type"] == "idempotency_error"
    assert Batch.objects.count() == 1


def test_another_users_key_is_another_key(caller: Caller, manager: User) -> None:
    assert made(caller.ask(some(1), "k")) != made(Caller(manager).ask(some(1), "k"))


def test_a_key_whose_request_was_refused_is_free(caller: Caller) -> None:
    ids = some(1, amount_remaining=500)
    error(caller.ask(ids, "k", expected={"usd": 1}))
    assert made(caller.ask(ids, "k")).idempotency_key == "k"


def test_five_at_once_with_one_key_make_one_batch(caller: Caller, sandbox: SandboxProcess) -> None:
    ids = at_stripe(sandbox, 4)

    def work(number: int) -> Any:
        try:
            return caller.ask(ids, "k", expected={"usd": 4000}) if number < 5 else batches.run_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(7) as pool:
        *answers, _, _ = pool.map(work, range(7))
    batch = Batch.objects.get()
    assert {made(answer) for answer in answers} == {batch}
    assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1
    batches.run_due()
    assert batches.progress(batch) == {"succeeded": 4, "waiting": 0}
    assert sandbox.stats()["requests"]["POST /v1/invoices/:id/void"] == 4


@pytest.mark.parametrize("point", ["judged", "journalled", "answered"])
def test_killed_while_it_is_made(
    caller: Caller, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The process that makes it dies: before the row, after it, or before the reply. The same request once more makes
    it, or finds it; nothing is done twice."""
    ids, sums = at_stripe(sandbox, 2), {"usd": 2000}
    connection.close()
    if connection.vendor == "postgresql":
        cast(Any, connection).close_pool()  # otherwise both processes would speak on one connection
    hears, told = os.pipe()
    child = os.fork()
    if child == 0:
        owner, name = {
            "judged": (batches, "start"),
            "journalled": (batches, "wake"),
            "answered": (batch_by_token, "start"),
        }[point]
        original = getattr(owner, name)

        def struck(*args: Any, **given: Any) -> Any:
            if point == "answered":
                original(*args, **given)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, struck)
        try:
            outcome = caller.ask(ids, "k", expected=sums).content
        except BaseException as error:
            outcome = repr(error).encode()
        os.write(told, outcome)
        os._exit(1)
    os.close(told)
    with os.fdopen(hears, "rb") as pipe:
        assert (pipe.read(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) == (b"", -signal.SIGKILL)
    assert Batch.objects.exists() == (point != "judged")
    batches.run_due()  # beat finds it, whether or not it was told
    again = caller.ask(ids, "k", expected=sums)
    assert ("Idempotent-Replayed" in again) == (point != "judged")
    batches.run_due()
    assert batches.progress(made(again)) == {"succeeded": 2, "waiting": 0}
    assert Batch.objects.count() == 1 and sandbox.stats()["requests"]["POST /v1/invoices/:id/void"] == 2


def test_a_database_that_lost_the_batch_gives_it_the_same_ids(agent: User) -> None:
    """So its operations send Stripe the same keys."""
    caller, ids = Caller(agent), some(1)
    batch = made(caller.ask(ids, "k"))
    assert batch.pk == batch_by_token.batch_id_of_key(agent, "k")


def test_a_token_that_is_revoked_before_it_is_made_and_after(caller: Caller, sandbox: SandboxProcess) -> None:
    ids = at_stripe(sandbox, 2)
    batch = made(caller.ask(ids, "k"))
    caller.token.revoked_at = clock.now()
    caller.token.save(update_fields=["revoked_at"])
    assert error(caller.ask(ids, "other"), 401)["code"] == "api_key_expired"
    batches.run_due()
    assert set(batch.operations.values_list("state", "code")) == {("failed", "permission_denied")}
    assert not sandbox.stats()["requests"].get("POST /v1/invoices/:id/void")


def test_an_invoice_that_changed_after_the_preview_and_after_the_making(
    caller: Caller, sandbox: SandboxProcess, manager: User
) -> None:
    ids = at_stripe(sandbox, 3)
    sums = caller.post(f"{BATCHES}/preview", {"action": "void", "invoices": ids}).json()["sums"]
    act("pay", ids[0], manager)
    assert ids[0] in error(caller.ask(ids, expected=sums))["message"]
    batch = made(caller.ask(ids[1:]))
    sandbox.client().v1.invoices.pay(ids[1])  # which the mirror does not know yet
    batches.run_due()
    assert {each.invoice: (each.state, each.code) for each in batch.operations.all()} == {
        ids[1]: (State.FAILED, "invoice_changed"),
        ids[2]: (State.SUCCEEDED, ""),
    }


def test_two_batches_of_the_same_invoices_do_each_once(caller: Caller, sandbox: SandboxProcess) -> None:
    """Two tabs: two keys. The second batch meets invoices that are void by then."""
    ids = at_stripe(sandbox, 2)
    first, second = made(caller.ask(ids, "one")), made(caller.ask(ids, "two"))
    batches.run_due()
    assert batches.progress(first) == {"succeeded": 2, "waiting": 0}
    assert batches.progress(second) == {"refused": 2, "waiting": 0}
    assert sandbox.stats()["requests"]["POST /v1/invoices/:id/void"] == 2


def test_an_erased_customers_name_goes_out_of_the_reason(
    caller: Caller, sandbox: SandboxProcess, manager: User, tmp_path: Any
) -> None:
    customer = customer_at(sandbox, name="Zoë Quistgaard", email="zoe@example.org").id
    ids = [str(invoice_at(sandbox, customer=customer).id)]
    refetch.refetch("invoice", ids[0])
    refetch.refetch("customer", customer)
    asked = {"action": "void", "invoices": ids, "expected": {"usd": 1000}}
    batch = made(caller.post(BATCHES, asked, **{"Invoice-Desk-Reason": "for Ms Quistgaard", "Idempotency-Key": "k"}))
    batches.run_due()
    erasing = erasure.begin(customer, reason="asked for", actor=manager, shell_user="")
    known = erasure.known_of(customer, erasure.Archives(customer, tmp_path))
    erasure._erase_journal(erasing, "batch", erasure.JOURNAL["batch"](customer), known, lambda what, rows: None)
    batch.refresh_from_db()
    assert batch.reason == "[redacted]"
    assert made(caller.post(BATCHES, asked, **{"Idempotency-Key": "k"})) == batch


# --- cancelled, confirmed again ---------------------------------------------------------------------------------------


def test_cancelled_by_token(caller: Caller, auditor: User, agent: User) -> None:
    batch = made(caller.ask(some(2)))
    for other in (Caller(auditor), Caller(agent, scopes="read pay")):
        assert error(other.post(f"{BATCHES}/{batch.pk}/cancel", {}), 403)
    for _ in range(2):
        said = caller.post(f"{BATCHES}/{batch.pk}/cancel", {}).json()
        assert said["cancelled"] and said["cancelled_by"] == "agent"
    batches.run_due()
    assert not Operation.objects.exists()
    assert error(caller.post(f"{BATCHES}/{uuid.uuid4()}/cancel", {}), 404)


def test_another_token_confirms_nothing(caller: Caller, agent: User, later: Callable[[float], None]) -> None:
    """It could be revoked, and what it set going would go on: before a sending the batch's own token is judged."""
    of_token = made(caller.ask(some(1)))
    seen = list(Invoice.objects.filter(pk__in=some(1)))
    in_admin = batches.start("void", seen, actor=agent, reason="duplicate", batch_id=uuid.uuid4())
    later(25 * 3600)
    assert error(Caller(agent).post(f"{BATCHES}/{of_token.pk}/confirm", {}), 403)
    assert error(caller.post(f"{BATCHES}/{in_admin.pk}/confirm", {}), 403)
    assert batches.confirm_again(in_admin, agent) and batches.confirm_again(of_token, agent)


def test_a_sum_that_is_told_twice(caller: Caller) -> None:
    said = error(caller.ask(some(1, amount_remaining=2), expected={"usd": 1, "USD": 2}))
    assert said["param"] == "expected[USD]" and not Batch.objects.exists()


def test_nothing_remains_to_be_recorded(caller: Caller) -> None:
    paid_off, open_one = some(1, amount_remaining=0), some(1)
    told = {"method": "Cash", "received_on": f"{clock.now():%Y-%m-%d}", "reference": "r"}
    asked = {"action": "attach_out_of_band_payment", "parameters": told}
    answer = caller.post(f"{BATCHES}/preview", {**asked, "invoices": paid_off + open_one})
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert found["invoices"] == open_one and found["left_alone"][0]["invoices"] == paid_off
    assert error(caller.ask(paid_off + open_one, **asked))["param"] == "invoices"


def test_a_service_confirms_its_own_batch_again(sandbox: SandboxProcess, later: Callable[[float], None]) -> None:
    """Its user cannot sign in, so nobody else could."""
    caller = Caller(user_in_group("dunning", "Service"), made_by=user_in_group("boss", "Billing manager"))
    batch = made(caller.ask(at_stripe(sandbox, 1)))
    later(25 * 3600)
    assert batches.run_due() == 0
    assert error(Caller(user_in_group("other", "Service")).post(f"{BATCHES}/{batch.pk}/confirm", {}), 403)
    said = caller.post(f"{BATCHES}/{batch.pk}/confirm", {}).json()
    assert said["confirm_by"] > clock.now().timestamp()
    batches.run_due()
    assert batches.progress(batch)["succeeded"] == 1
