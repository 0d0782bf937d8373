"""Log lines: what each carries, what none ever holds, and that nothing of one request is told of another."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DataError, IntegrityError
from django.http import HttpResponse
from django.test import AsyncClient, RequestFactory
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st

from backoffice import observation, urls
from backoffice.celery import app
from invoices import gateway, operations, reconcile, sync, tasks
from invoices.models import Operation
from invoices.sight import context, logs, redaction
from tests.factories import invoice_at
from tests.helpers import asynchronous
from tests.helpers.told import listening

log = logging.getLogger("invoices.tests")

# What must never be told, in the forms in which it comes by accident.
SECRETS = {
    "a key of Stripe": "rk_test_" + "51Habcdefghijklmnop",
    "a webhook secret": "whsec_" + "abcdefghijklmnop",
    "an API token": "0123456789abcdef" * 4,
    "a token in a header": "Authorization: Bearer abcdefgh.ijklmnop",
    "a password": "password=correct-horse",
    "a password in JSON": '"password": "correct-horse"',
    "a password in an address": "postgresql://desk:correct-horse@db.internal/desk",
    "an e-mail address": "jenny.rosen+1@example.co.uk",
    "an e-mail address in a path": "/users/jenny%40example.com",
    "a card number": "4242 4242 4242 4242",
    "a card number in one": "4000056655665556",
    "a client secret": "pi_3Habc_secret_defghijkl",
    "an invoice's address": "https://invoice.stripe.com/i/acct_1/test_YWNjdF8x",
    "a session": "sessionid=abcdefghijklmnop",
    "an authenticator's address": "otpauth://totp/desk:jenny?secret=ABCDEFGH",
    "a JSON web token": "eyJhbGciOi.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "a body": '{"id": "evt_1", "data": {"object": {"customer_name": "Jenny Rosen"}}}',
    "what Python shows of a body": "{'customer_name': 'Jenny Rosen', 'id': 'in_1'}",
}
REMAINS = ("51Habc", "abcdefghij", "0123456789abcdef", "ijklmnop", "horse", "jenny", "4242", "5566", "defghi", "YWNj")


@pytest.mark.parametrize("what", SECRETS)
def test_no_secret_is_told_wherever_it_comes_from(what: str) -> None:
    secret = SECRETS[what]
    with listening() as told:
        log.warning("it holds %s here", secret)
        log.warning(f"it holds {secret}")
        logs.tell(log, "a field", something=secret)
        with context.bound(something=secret):
            log.info("bound")
        try:
            try:
                raise OSError(f"could not use {secret}")
            except OSError as error:
                raise RuntimeError(secret) from error
        except RuntimeError:
            log.exception("it failed")
    assert not [part for part in (*REMAINS, "Jenny") if part in told.text]
    assert len(told.lines()) == 5
    assert told.lines("it failed")[0]["exception"][0].startswith("RuntimeError")


def test_the_secrets_of_the_settings_are_not_told_in_any_form(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = "a key of an unknown form"
    settings.STRIPE_WEBHOOK_SECRETS = ["one-of-two", "two-of-two"]
    settings.SECRET_KEY = "the key of sessions"
    with listening() as told:
        log.info("a key of an unknown form, one-of-two, two-of-two, the key of sessions")
    assert told.lines()[0]["message"] == ", ".join([redaction.REDACTED] * 4)


@given(text=st.from_regex(redaction._ORDINARY, fullmatch=True))
def test_what_is_told_without_a_further_look_is_what_a_look_would_tell(text: str) -> None:
    for pattern, _ in (*redaction._PATTERNS, (redaction._DIGITS, "")):
        assert not pattern.search(text)


def test_what_identifies_is_told() -> None:
    """An operator must be able to find the thing at Stripe and in the journal."""
    ids = "in_1Mtabcdefghijklmnop evt_1NG8Du2eZvKYlo2CUI79vXWy req_4yPrTpTKWmOZcT 0199a0f0-6a2e-4d0c-9f59-0d6f3a4f6f5e"
    assert redaction.scrubbed(ids) == ids
    assert redaction.scrubbed("1763764496123456789 ns") == "1763764496123456789 ns"
    assert (
        redaction.scrubbed("acct_1032D82eZvKYlo2C 2026-11-21T22:47:56") == "acct_1032D82eZvKYlo2C 2026-11-21T22:47:56"
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueError("invalid literal for int(): 'Jenny Rosen'"),
        KeyError("Jenny Rosen"),
        DataError('invalid input syntax for type json\nDETAIL: Token "Jenny Rosen" is invalid.'),
        IntegrityError("null value in column x\nDETAIL:  Failing row contains (evt_1, Jenny Rosen)."),
    ],
)
def test_errors_do_not_quote_the_value_at_which_they_failed(error: Exception) -> None:
    with listening() as told:
        log.warning("it failed: %s", error)
        log.error(error)
        try:
            raise error
        except type(error):
            log.exception("it failed")
    assert "Jenny" not in told.text and type(error).__name__ in told.text


def test_variables_are_not_in_a_traceback() -> None:
    def fail(body: str) -> None:
        raise RuntimeError("no")

    with listening() as told:
        try:
            fail("what stands in a variable")
        except RuntimeError:
            log.exception("it failed")
    assert "what stands" not in told.text
    assert told.one("it failed")["exception"][-1].endswith("in fail")


def test_no_line_break_makes_a_second_line() -> None:
    nasty = "one\r\n2026-11-21T00:00:00 CRITICAL forged\x1b[2J\u2028\x85 two"
    for formatter in (logs.JsonFormatter(), logs.TextFormatter()):
        with listening(formatter=formatter) as told:
            log.info("said %s", nasty)
            logs.tell(log, "a field", something=nasty)
            log.info(nasty)
        assert len(told.text.splitlines()) == 3
        assert not any(character in told.text for character in "\r\x1b\u2028\x85")
    with listening(formatter=logs.TextFormatter()) as told:
        try:
            raise OSError(nasty)
        except OSError:
            log.exception("it failed")
    _, *others = told.text.splitlines()
    assert others and all(line.startswith("    ") for line in others)


def test_a_line_whose_arguments_do_not_fit_shows_none() -> None:
    record = logging.LogRecord("invoices", logging.INFO, __file__, 1, "%d of %s", ("a", "secret", "more"), None)
    assert logs.message(record) == "%d of %s"


def test_half_a_pair_is_told() -> None:
    for formatter in (logs.JsonFormatter(), logs.TextFormatter()):
        with listening(formatter=formatter) as told:
            log.warning("half a pair \ud800")
        assert "\\ud800" in told.text and told.text.isascii()


def test_no_text_makes_the_redaction_slow() -> None:
    """Of each the patterns see four thousand characters. A pattern that tries every beginning with every end would need
    minutes for a hundred of them; all together take a fraction of a second."""
    began = time.process_time()
    for text in (
        "a" * 9999,
        "a-" * 9999,
        "a." * 9999,
        "1 " * 9999,
        "{'" * 9999,
        "eyJ." * 9999,
        "a_secret" * 9999,
        "://" * 9999,
    ):
        for _ in range(10):
            redaction.scrubbed(text)
    assert time.process_time() - began < 20


def test_a_long_text_is_cut_soon() -> None:
    with listening() as told:
        log.info("a" * 10**7)
    assert len(told.text) < 3000


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_each_request_is_one_line(desk: Any, agent: Any) -> None:
    with listening() as told:
        response = desk.get("/admin/invoices/invoice/?q=jenny@example.com")
    line = told.one("request")
    assert line["request_id"] == response["X-Request-ID"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/admin/invoices/invoice/", 200)
    assert line["user"] == agent.pk and line["milliseconds"] > 0 and line["level"] == "INFO"
    assert "jenny" not in told.text and agent.username not in told.text


@pytest.mark.django_db(transaction=True)
def test_probes_and_static_files_are_told_only_when_they_fail(client: Any) -> None:
    with listening(logging.INFO) as told:
        client.get("/static/invoices/desk.css")
        client.get("/nowhere")
        client.post("/readyz")
    assert [(line["path"], line["status"]) for line in told.lines("request")] == [("/nowhere", 404), ("/readyz", 405)]


def test_a_path_with_a_line_break_is_one_line(client: Any, db: None) -> None:
    with listening() as told:
        client.get("/no%0d%0awhere/jenny%40example.com")
    assert told.one("request")["path"] == f"/no\r\nwhere/{redaction.REDACTED}"
    assert len(told.text.splitlines()) == len(told.lines())


def _fails(request: Any) -> HttpResponse:
    body = request.body  # noqa: F841  a variable that no report may show
    raise RuntimeError("it failed")


def _waits(request: Any, number: int) -> HttpResponse:
    log.info("begins %s", number)
    _meeting.wait(100)  # until all requests are inside
    log.info("goes on %s", number)
    return HttpResponse("ok")


_meeting = threading.Barrier(4)
urlpatterns = [path("fails", _fails), path("waits/<int:number>", _waits), *urls.urlpatterns]


def test_a_request_that_fails_is_told_with_its_traceback_and_without_its_body(settings: Any, client: Any) -> None:
    settings.ROOT_URLCONF = __name__
    client.raise_request_exception = False
    with listening() as told:
        client.post("/fails", "name=Jenny", content_type="text/plain")
    failed = told.lines("Internal Server Error: /fails")
    assert failed[0]["request_id"] == told.one("request")["request_id"]
    assert failed[0]["exception"][0] == "RuntimeError: it failed"
    assert told.one("request")["status"] == 500 and "Jenny" not in told.text


def _ids_of_lines(told: Any) -> None:
    of_number: dict[str, set[Any]] = {}
    for line in told.lines():
        if line["logger"] == log.name:
            of_number.setdefault(line["message"].rpartition(" ")[2], set()).add(line.get("request_id"))
    assert sorted(of_number) == ["0", "1", "2", "3"]
    assert all(len(ids) == 1 for ids in of_number.values()) and len(set.union(*of_number.values())) == 4
    requests = {line["request_id"]: line["path"] for line in told.lines("request")}
    assert {requests[next(iter(ids))]: number for number, ids in of_number.items()} == {
        f"/waits/{number}": number for number in of_number
    }


def test_requests_at_the_same_time_keep_their_ids_apart(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    from django.test import Client

    with listening() as told, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: Client().get(f"/waits/{number}"), range(4)))
    _ids_of_lines(told)
    assert context.current() == {}


def test_under_asgi_the_id_follows_into_the_thread_of_the_view(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__

    async def one(number: int) -> None:
        log.info("outside %s", number) if number == 9 else None
        response = await AsyncClient().get(f"/waits/{number}")
        assert response.status_code == 200

    async def all_of_them() -> None:
        from asgiref.sync import ThreadSensitiveContext

        async def alone(number: int) -> None:
            async with ThreadSensitiveContext():  # as the server has it: a thread for each request
                await one(number)

        await asyncio.gather(*(alone(number) for number in range(4)))

    with listening() as told:
        asynchronous.run(all_of_them())
    _ids_of_lines(told)
    assert context.current() == {}


def test_threads_of_ours_carry_the_context_and_leave_none_behind() -> None:
    with ThreadPoolExecutor(1) as pool:
        with context.bound(operation="one"):
            assert [pool.submit(context.carried(context.current)).result()] == [{"operation": "one"}]
        assert pool.submit(context.current).result() == {}


# --- what happens at the desk -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_action_is_told_when_it_is_asked_for_sent_and_done(open_invoice: Any, agent: Any) -> None:
    with listening() as told:
        operation = operations.execute(
            "void",
            open_invoice.id,
            actor=agent,
            source="admin",
            reason="jenny@example.com asked",
            request_id="req_page",
        )
    asked, sent, came = (told.one(f"operation {what}") for what in ("asked for", "sent", "came to"))
    for line in (asked, sent, came):
        assert line["operation"] == str(operation.pk) and line["user"] == agent.pk and line["action"] == "void"
        assert line["asked_by_request"] == "req_page"
    assert (asked["state"], came["state"]) == ("ready", "succeeded")
    assert came["stripe_request_id"].startswith("req_")
    request = next(line for line in told.lines("request to Stripe") if line["method"] == "POST")
    assert request["endpoint"] == "/v1/invoices/:id/void" and request["operation"] == str(operation.pk)
    assert request["stripe_request_id"] == came["stripe_request_id"]
    assert "jenny" not in told.text and 'asked"' not in told.text


@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_told_with_its_code(open_invoice: Any, auditor: Any) -> None:
    with listening() as told, pytest.raises(operations.Refusal):
        operations.execute("void", open_invoice.id, actor=auditor, source="admin", reason="why not")
    line = told.one("operation refused")
    assert (line["code"], line["user"], line["invoice"]) == ("permission_denied", auditor.pk, open_invoice.id)
    assert Operation.objects.get(pk=line["operation"]).state == "refused"


@pytest.mark.django_db(transaction=True)
def test_a_decision_is_told(open_invoice: Any, agent: Any, manager: Any, settings: Any) -> None:
    settings.APPROVAL_THRESHOLDS = {"default": 0}
    operation = operations.execute("void", open_invoice.id, actor=agent, source="admin", reason="wrong")
    with listening() as told:
        with pytest.raises(operations.Refusal):
            operations.decisions.approve(operation.pk, approver=agent)
        operations.decisions.approve(operation.pk, approver=manager)
    assert told.one("decision refused")["user"] == agent.pk
    made = told.one("decision made")
    assert (made["decision"], made["user"], made["operation"]) == ("approve", manager.pk, str(operation.pk))


@pytest.mark.django_db(transaction=True)
def test_a_refused_webhook_is_told_with_the_reason_and_without_the_body(client: Any, post_event: Any) -> None:
    with listening() as told:
        client.post("/webhooks/stripe", b'{"name": "Jenny"}', content_type="application/json")
        post_event(b'{"name": "Jenny Rosen", "id": evt}')
    unsigned, unreadable = told.lines("webhook refused")
    assert (unsigned["outcome"], unsigned["status"]) == ("not_signed", 400) and "Stripe-Signature" in unsigned["reason"]
    assert unreadable["outcome"] == "unreadable" and unreadable["reason"]
    assert "Jenny" not in told.text


@pytest.mark.django_db(transaction=True)
def test_an_event_is_told_with_stripes_ids(sandbox: Any, post_event: Any) -> None:
    invoice_at(sandbox)
    event = next(iter(gateway.walk("/v1/events")))
    with listening() as told:
        post_event(event)
        sync.process_events()
    received = told.one("event received")
    assert received["event"] == event["id"] == told.one("event processed")["event"]
    assert received["stripe_request_id"] == event["request"]["id"]
    assert received["request_id"] == told.one("request")["request_id"]


@pytest.mark.django_db(transaction=True)
def test_a_reconciliation_is_told_at_its_beginning_and_its_end(sandbox: Any) -> None:
    with listening() as told:
        run = reconcile.sweep_lists("sweep")
    begins, ended = told.lines("reconciliation begins"), told.lines("reconciliation ended")
    assert [line["kind"] for line in begins] == ["sweep", "catch_up"]
    assert ended[0]["run"] == run.pk and ended[0]["exit_code"] == 0 and ended[0]["state"] == "finished"
    reads = [line for line in told.lines("request to Stripe") if line.get("run") == run.pk]
    assert reads


@pytest.mark.django_db(transaction=True)
def test_sign_ins_are_told_by_the_users_id(client: Any, agent: Any) -> None:
    with listening() as told:
        client.post("/admin/login/", {"username": "jenny@example.com", "password": "a wrong password"})
        client.force_login(agent)
    assert told.one("sign-in failed")["level"] == "WARNING"
    assert told.one("sign-in succeeded")["user"] == agent.pk
    assert "jenny" not in told.text and agent.username not in told.text


@pytest.mark.django_db(transaction=True)
def test_a_task_is_told_by_its_name_and_by_who_woke_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "process_events_together", lambda: logs.tell(log, "inside"))
    with listening() as told:
        tasks.process_events.apply(headers={"woken_by": "req_web"})
    assert told.one("inside")["task"] == "process_events"
    assert told.one("inside")["woken_by"] == "req_web"
    assert told.one("task")["outcome"] == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_a_task_that_fails_does_not_show_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise ValueError("could not read 'Jenny Rosen'")

    monkeypatch.setattr(sync, "perform_refetches", fail)
    with listening() as told:
        tasks.perform_refetches.apply()
    line = next(line for line in told.lines() if line["logger"] == "celery.app.trace" and line["level"] == "ERROR")
    assert line["message"].startswith("Task invoices.tasks.perform_refetches") and "Jenny" not in told.text
    assert line["exception"][0] == "ValueError: could not read …"


def test_celery_leaves_the_level_of_the_log_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker starts with Celery's own level, WARNING, and must still log what it does."""
    root = logging.getLogger()
    level = root.level
    monkeypatch.setattr(type(app.log), "_setup", False)
    monkeypatch.setattr(app.log, "already_setup", False)
    root.setLevel(logging.INFO)
    try:
        app.log.setup_logging_subsystem(loglevel="WARNING")
        assert root.level == logging.INFO
    finally:
        root.setLevel(level)


def test_every_task_is_observed() -> None:
    ours = [task for name, task in app.tasks.items() if name.startswith("invoices.")]
    assert ours and all(isinstance(task, observation.ObservedTask) for task in ours)


def test_the_ends_of_threads_and_processes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> None:
        raise ValueError("at 'Jenny Rosen'")

    monkeypatch.setattr(threading, "excepthook", observation._log_end_of_thread)
    with listening() as told:
        thread = threading.Thread(target=end)
        thread.start()
        thread.join()
        try:
            end()
        except ValueError:
            observation._log_end_of_process(*sys.exc_info())
    assert [line["exception"][0] for line in told.lines()] == ["ValueError: at …"] * 2


def test_the_user_of_a_request_is_not_looked_up_for_the_log(django_assert_num_queries: Any, db: None) -> None:
    from django.contrib.auth.middleware import AuthenticationMiddleware
    from django.contrib.sessions.middleware import SessionMiddleware

    request = RequestFactory().get("/")
    SessionMiddleware(lambda request: HttpResponse()).process_request(request)
    AuthenticationMiddleware(lambda request: HttpResponse()).process_request(request)
    with django_assert_num_queries(0):
        assert observation.user_id(request) is None
