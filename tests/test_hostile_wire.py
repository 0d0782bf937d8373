"""What stands between us and Stripe lies: proxies' pages, broken bodies, redirects, and answers that never end."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from invoices import gateway, operations, refetch
from invoices.apps import check_timeout
from invoices.deadline import DeadlineSession
from invoices.models import Invoice, Operation, ScheduledRefetch
from tests.crash.wire import STRIPES, Answer, Wire, _Handler
from tests.factories import invoice_at
from tests.helpers.operations import act
from tests.helpers.raw_server import HEAD, RawServer, answer
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
PAY = ["POST /v1/invoices/*/pay"]
PATIENCE = 30  # seconds on a busy machine; what has no deadline would take for ever
STRIPES_NO = b'{"error": {"type": "invalid_request_error", "message": "No."}}'


def settled(operation: Operation) -> Operation:
    for _ in range(5):
        Operation.objects.filter(pk=operation.pk, state=State.UNKNOWN).update(settle_at=None)
        operations.settle_due()
        operation.refresh_from_db()
    return operation


STATUSES = (200, 204, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 407, 409, 413, 429, 451, 500, 502, 503)


class TestANoThatIsNotStripes:
    @pytest.mark.parametrize("status", STATUSES)
    @pytest.mark.parametrize("fault", ["proxy_page", "proxy_page_after"])
    def test_a_proxys_page_says_nothing_about_a_charge(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, fault: str, status: int
    ) -> None:
        sandbox.faults(**{fault: 1.0}, proxy_status=status, only=PAY)
        operation = act("pay", open_invoice.id, agent)
        assert operation.state == State.UNKNOWN, operation.message
        assert "<html>" not in json.dumps(operation.calls[-1].to_json())
        sandbox.clear_faults()
        assert settled(operation).state == State.SUCCEEDED
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429])
    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (STRIPES_NO, {}),  # Stripe's shape, but no Request-Id
            (b'{"error": "denied"}', {"Request-Id": "req_1"}),
            (b'{"error": null}', {"Request-Id": "req_1"}),
            (b'{"error": 5}', {"Request-Id": "req_1"}),
            (b'{"error": ["denied"]}', {"Request-Id": "req_1"}),
            (b'{"error": {"message": "denied"}}', {"Request-Id": "req_1"}),
            (b'{"error": {"type": {}, "message": []}}', {"Request-Id": "req_1"}),
            (b'["denied"]', {"Request-Id": "req_1"}),
            (b"null", {"Request-Id": "req_1"}),
            (b"", {"Request-Id": "req_1"}),
            (b"\xff\xfe{", {"Request-Id": "req_1"}),
        ],
    )
    def test_only_stripes_own_error_is_a_no(
        self, settings: Any, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        head = f"HTTP/1.1 {status} No\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items())
        with RawServer(answer(body, head)) as server:
            settings.STRIPE_API_BASE = server.url
            with pytest.raises(gateway.OutcomeUnknown) as error:
                gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")
        assert "denied" not in error.value.message

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, gateway.RefusedByStripe),
            (402, gateway.Declined),
            (403, gateway.NotAllowed),
            (404, gateway.Missing),
            (429, gateway.RateLimited),
        ],
    )
    def test_stripes_own_error_is(self, settings: Any, status: int, kind: type[Exception]) -> None:
        head = b"HTTP/1.1 %d No\r\nRequest-Id: req_1\r\n" % status
        with RawServer(answer(STRIPES_NO, head)) as server:
            settings.STRIPE_API_BASE = server.url
            with pytest.raises(kind):
                gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")

    @pytest.mark.parametrize(
        "written", ["NaN", "1e999", '"a\\u0000b"', '"\\ud800"', '{"a": ["\\ud800", -1e999]}', "[]"]
    )
    def test_a_decline_is_one_whatever_stands_in_it(
        self, open_invoice: Any, agent: User, monkeypatch: pytest.MonkeyPatch, written: str
    ) -> None:
        """No database stores all of this, and the triggers could not read all of it in what was stored."""
        members = ("code", "decline_code", "message", "param", "charge", "doc_url")
        body = '{"error": {"type": "card_error", ' + ", ".join(f'"{name}": {written}' for name in members) + "}}"
        send = gateway.act

        def send_there(*args: Any, **given: Any) -> Any:
            declines = RawServer(answer(body.encode(), b"HTTP/1.1 402 No\r\nRequest-Id: req_1\r\n"))
            with declines as server, override_settings(STRIPE_API_BASE=server.url):
                return send(*args, **given)

        monkeypatch.setattr(gateway, "act", send_there)
        operation = act("pay", open_invoice.id, agent)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined"), operation.message

    def test_a_404_of_a_proxy_deletes_no_invoice(self, wire: Wire, open_invoice: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(gateway, "MAX_READ_RETRIES", 0)
        wire.replies_to_get[f"/v1/invoices/{open_invoice.id}"] = Answer(404, b"<html>Not Found</html>", [])
        with pytest.raises(gateway.OutcomeUnknown):
            refetch.refetch("invoice", open_invoice.id)
        assert Invoice.objects.get(pk=open_invoice.id).deleted_at is None

    def test_a_read_asks_again_after_a_proxys_page(self, wire: Wire, open_invoice: Any) -> None:
        wire.replies_to_get[f"/v1/invoices/{open_invoice.id}"] = Answer(403, b"<html>", [])
        wire.on_get = lambda path: wire.replies_to_get.clear()
        assert gateway.retrieve("invoice", open_invoice.id)[0].data

    def test_before_anything_was_sent_it_is_stripe_that_is_away(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        sandbox.faults(proxy_page=1.0, proxy_status=404, only=["GET /v1/invoices/*"])
        operation = act("pay", open_invoice.id, agent)
        assert (operation.state, operation.code) == (State.FAILED, "stripe_unavailable")


class TestBrokenAnswers:
    def test_a_garbled_success_is_found_out(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        sandbox.faults(garbled=1.0, only=PAY)
        operation = act("pay", open_invoice.id, agent)
        assert operation.state == State.UNKNOWN, operation.message
        sandbox.clear_faults()
        assert settled(operation).state == State.SUCCEEDED
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>", b"[]", b"null", b'"invoice"', b"1", b"{}", b'{"object": 7}', b'{"object": "invoice"}',
         b'{"object": "invoice", "id": {}}', b'{"object": "invoice", "id": ""}', b'{"error": {"type": "x"}}',
         b'{"object": "invoice", "id": "in_1"', b"\xff\xfe", b"{" * 5000, b"[" * 5000],
    )  # fmt: skip
    def test_a_200_that_names_no_object_is_no_success(self, settings: Any, body: bytes) -> None:
        with RawServer(answer(body)) as server:
            settings.STRIPE_API_BASE = server.url
            with pytest.raises(gateway.OutcomeUnknown):
                gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")

    @pytest.mark.parametrize(
        "bytes_sent",
        [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", HEAD + b"Content-Length: 9999\r\n\r\n{}",
         HEAD + b"Content-Length: -1\r\n\r\n{}", HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
         HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", HEAD + b"X: " + b"x" * 70_000,
         HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n{}"],
    )  # fmt: skip
    def test_what_is_no_http_is_no_answer(self, settings: Any, bytes_sent: bytes) -> None:
        settings.STRIPE_TIMEOUT_SECONDS = 1
        with RawServer(bytes_sent) as server:
            settings.STRIPE_API_BASE = server.url
            with pytest.raises(gateway.OutcomeUnknown):
                gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")

    @pytest.mark.parametrize(
        "date", ["", "yesterday", "Mon, 01 Jan 0001 00:00:00 +1400", "Fri, 31 Dec 9999 23:59:59 -1200"]
    )
    @pytest.mark.parametrize("wait", ["nan", "inf", "-5", "1e999", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
    def test_strange_headers_raise_nothing_else(self, settings: Any, date: str, wait: str) -> None:
        with RawServer(
            answer(STRIPES_NO, b"HTTP/1.1 429 No\r\nRequest-Id: req_1\r\n", Date=date, Retry_After=wait)
        ) as server:
            settings.STRIPE_API_BASE = server.url
            with pytest.raises(gateway.RateLimited) as error:
                gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")
        assert error.value.retry_after is None

    def test_another_object_than_was_asked_for(self, wire: Wire, open_invoice: Any, sandbox: SandboxProcess) -> None:
        other = json.dumps({"object": "invoice", "id": "in_other", "status": "paid"}).encode()
        wire.replies_to_get[f"/v1/invoices/{open_invoice.id}"] = Answer(200, other, [("Request-Id", "req_1")])
        with pytest.raises(gateway.OutcomeUnknown):
            gateway.retrieve("invoice", open_invoice.id)

    @pytest.mark.parametrize("body", [{"object": "invoice", "id": "in_other"}, {"object": "customer", "id": "cus_1"}])
    @pytest.mark.parametrize("action", ["pay", "void", "attach_out_of_band_payment"])
    def test_an_action_on_another_object_than_was_asked_for(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, monkeypatch: Any, action: str, body: dict[str, Any]
    ) -> None:
        """A proxy that mixes up its answers: what came of it is unknown, and Stripe's events tell."""
        invoice = invoice_at(sandbox, 4200)
        refetch.refetch("invoice", invoice.id)
        forward = _Handler.forward

        def mixed_up(handler: _Handler, sent: bytes) -> Answer:
            answer = forward(handler, sent)
            if handler.command != "POST":
                return answer
            return Answer(200, json.dumps(body | {"status": "paid"}).encode(), STRIPES)

        params = {"amount": 300, "method": "Cash", "received_on": "2026-11-02"} if "attach" in action else {}
        with monkeypatch.context() as patch:
            patch.setattr(_Handler, "forward", mixed_up)
            operation = act(action, invoice.id, agent, params=params)
        assert operation.state == State.UNKNOWN
        Operation.objects.update(settle_at=None)
        operations.settle_due()
        operation.refresh_from_db()
        assert operation.state == State.SUCCEEDED

    @pytest.mark.parametrize("charge", ["of another payment", "absent"])
    def test_a_bank_debit_does_not_end_by_an_answer_about_another_payment(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, charge: str
    ) -> None:
        invoice = invoice_at(sandbox, 4200)
        refetch.refetch("invoice", invoice.id)
        operation = act("pay", invoice.id, agent, params={"payment_method": "pm_usBankAccount_processing"})
        for _ in range(2):
            Operation.objects.update(settle_at=None)
            operations.settle_due()
            operation.refresh_from_db()
            assert operation.state == State.PROCESSING
            intent = operation.calls[0].payment_intent
            found = {"object": "payment_intent", "id": intent, "status": "processing"}
            if charge == "of another payment":
                found |= {"id": "pi_other", "status": "succeeded", "latest_charge": "ch_other"}
            wire.replies_to_get[f"/v1/payment_intents/{intent}"] = Answer(200, json.dumps(found).encode(), STRIPES)

    def test_an_attached_payment_is_not_judged_by_another_one(
        self, wire: Wire, sandbox: SandboxProcess, agent: User
    ) -> None:
        """The answer about USD 9,000.00 shows another payment, of USD 1.00: for that nobody asks a second person."""
        invoice = invoice_at(sandbox, 900_000)
        refetch.refetch("invoice", invoice.id)
        given = {"amount": 900_000, "currency": "usd", "customer": invoice.customer}
        intent = sandbox.client().v1.payment_intents.create(given)
        other = {**given, "object": "payment_intent", "id": "pi_small", "amount": 100, "status": "succeeded"}
        wire.replies_to_get[f"/v1/payment_intents/{intent.id}"] = Answer(200, json.dumps(other).encode(), STRIPES)
        with pytest.raises(operations.Refusal, match="cannot be reached"):
            act("attach_payment", invoice.id, agent, params={"payment_intent": intent.id})

    @pytest.mark.parametrize(
        "body", [{}, {"data": None}, {"data": {}, "has_more": False}, {"data": [1], "has_more": True}]
    )
    def test_a_list_that_is_none(self, wire: Wire, body: dict[str, Any]) -> None:
        listed = json.dumps({"object": "list", **body}).encode()
        wire.replies_to_get["/v1/events"] = Answer(200, listed, [("Request-Id", "req_1")])
        with pytest.raises(gateway.OutcomeUnknown):
            list(gateway.walk("/v1/events"))


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("method", ["post", "get"])
    def test_nobody_follows_one(self, settings: Any, monkeypatch: Any, status: int, method: str) -> None:
        monkeypatch.setattr(gateway, "MAX_READ_RETRIES", 0)
        found = answer(json.dumps({"object": "invoice", "id": "in_1", "status": "paid"}).encode())
        with RawServer(found) as elsewhere:
            head = b"HTTP/1.1 %d Moved\r\nRequest-Id: req_1\r\nLocation: %s/v1/x\r\n" % (status, elsewhere.url.encode())
            with RawServer(answer(b"{}", head)) as server:
                settings.STRIPE_API_BASE = server.url
                with pytest.raises(gateway.OutcomeUnknown):
                    if method == "post":
                        gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")
                    else:
                        gateway.read("/v1/invoices/in_1")
            assert len(server.requests) == 1 and elsewhere.requests == []


class TestOneDeadline:
    DRIPS = {
        "the head": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        "endless heads": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "the body": (HEAD + b"Content-Length: 100000\r\n\r\n{", b" "),
        "a chunked body": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        "a body of unknown length": (HEAD + b"Connection: close\r\n\r\n{", b" "),
        "a body of unknown length that could be whole": (
            HEAD + b'Connection: close\r\n\r\n{"object": "invoice", "id": "in_1"}',
            b" ",
        ),
    }

    @pytest.mark.parametrize("what", DRIPS)
    @pytest.mark.parametrize("method", ["post", "get"])
    def test_a_server_that_drips(self, settings: Any, what: str, method: str) -> None:
        settings.STRIPE_TIMEOUT_SECONDS = 0.6
        first, drip = self.DRIPS[what]
        with RawServer(first, drip) as server:
            settings.STRIPE_API_BASE = server.url
            started = time.monotonic()
            with pytest.raises(gateway.OutcomeUnknown):
                if method == "post":
                    gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")
                else:
                    gateway._send("get", "/v1/invoices/in_1", {})
            took = time.monotonic() - started
            assert took < PATIENCE, "it would have dripped for ever"
            assert len(server.requests) <= 1  # none, where the machine was too busy to take it before the deadline
            assert server.given_up.wait(PATIENCE)  # nothing of it goes on in the background

    @pytest.mark.parametrize("where", ["the handshake", "a proxy's tunnel"])
    def test_a_drip_before_anything_is_sent(self, where: str) -> None:
        first, drip = (
            (b"\x16\x03\x03\x40\x00", b"\x02") if where == "the handshake" else (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x")
        )
        with RawServer(first, drip) as server:
            address = server.url.replace("http", "https")
            proxies = {"https": server.url} if where == "a proxy's tunnel" else {}
            started = time.monotonic()
            with pytest.raises(requests.RequestException):
                DeadlineSession(0.6).request("POST", f"{address}/v1/x", data="a=1", timeout=0.6, proxies=proxies)
            assert time.monotonic() - started < PATIENCE
            assert server.given_up.wait(PATIENCE)

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
    @pytest.mark.parametrize("what", DRIPS)
    def test_a_server_that_drips_behind_tls(self, tmp_path: Path, what: str) -> None:
        key, certificate = tmp_path / "key", tmp_path / "certificate"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        with RawServer(*self.DRIPS[what], tls=tls) as server:
            address = server.url.replace("http://127.0.0.1", "https://localhost")
            started = time.monotonic()
            with pytest.raises(requests.RequestException):
                DeadlineSession(0.6).request(
                    "POST", f"{address}/v1/x", data="a=1", timeout=0.6, verify=str(certificate)
                )
            assert time.monotonic() - started < PATIENCE
            assert server.given_up.wait(PATIENCE)

    def test_the_next_request_is_not_hit(self, wire: Wire, open_invoice: Any, settings: Any) -> None:
        """The deadline of a request that has ended does not cut the next one on the same connection."""
        settings.STRIPE_TIMEOUT_SECONDS = 2.0
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            assert gateway.retrieve("invoice", open_invoice.id)[0].data

    def test_no_timer_is_left(self, wire: Wire, open_invoice: Any) -> None:
        before = threading.active_count()
        for _ in range(20):
            gateway.retrieve("invoice", open_invoice.id)
        assert threading.active_count() < before + 20

    def test_an_action_on_a_dripping_wire_is_unknown_within_its_claim(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, settings: Any
    ) -> None:
        settings.STRIPE_TIMEOUT_SECONDS = 0.6
        sandbox.faults(latency_ms=[2000, 2000], only=PAY)
        operation = act("pay", open_invoice.id, agent)
        assert operation.state == State.UNKNOWN

    @pytest.mark.parametrize("seconds", [0, -1, 60, 600, float("nan"), float("inf")])
    def test_a_timeout_that_outlives_a_claim_is_refused_at_the_start(self, seconds: float) -> None:
        with pytest.raises(ImproperlyConfigured, match="STRIPE_TIMEOUT_SECONDS"):
            check_timeout(seconds)
        check_timeout(15)


class TestAfter:
    def test_a_refused_pay_of_a_draft_leaves_it_finalized(self, sandbox: SandboxProcess, agent: User) -> None:
        draft = invoice_at(sandbox, card="pm_card_chargeCustomerFail", finalize=False)
        refetch.refetch("invoice", draft.id)
        operation = act("pay", draft.id, agent)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined"), operation.message
        assert operation.before["status"] == "draft"
        assert operation.after["status"] == sandbox.client().v1.invoices.retrieve(draft.id).status == "open"
        assert Invoice.objects.get(pk=draft.id).status == "open"

    def test_where_it_cannot_be_read_nothing_is_claimed(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, desk: Any
    ) -> None:
        draft = invoice_at(sandbox, card="pm_card_chargeCustomerFail", finalize=False)
        refetch.refetch("invoice", draft.id)
        page = Answer(502, b"<html>", [])
        wire.before_reply = lambda: wire.replies_to_get.update({f"/v1/invoices/{draft.id}": page})
        wire.arm("/pay", "webhook_first")
        operation = act("pay", draft.id, agent)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert operation.after == {} and operation.before["status"] == "draft"
        assert "not read" in desk.get(f"/admin/invoices/operation/{operation.pk}/").content.decode()
        assert ScheduledRefetch.objects.filter(object_id=draft.id).exists()


@given(
    status=st.sampled_from(STATUSES),
    body=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "object", "id", "type", "message", "code"]), inner, max_size=4
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    request_id=st.booleans(),
)
def test_no_answer_of_any_shape_raises_anything_else(status: int, body: bytes, request_id: bool) -> None:
    """An action ends with a reply that names an object, or with an error of ours, which is Stripe's no only with a
    Request-Id and a type."""
    head = b"HTTP/1.1 %d X\r\n" % status + (b"Request-Id: req_1\r\n" if request_id else b"")
    with RawServer(answer(body, head)) as server, override_settings(STRIPE_API_BASE=server.url):
        try:
            reply = gateway.act("/v1/invoices/in_1/pay", {}, idempotency_key="k")
        except gateway.OutcomeUnknown:
            return
        except gateway.GatewayError:
            assert request_id and 400 <= status < 500 and isinstance(json.loads(body)["error"]["type"], str)
        else:
            assert request_id and 200 <= status < 300 and reply.data["id"] and reply.data["object"]
