"""The webhook endpoint: what may come in, what each delivery is answered, and that nothing that is Stripe's is lost."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as conf
from django.db import connection
from django.http import UnreadablePostError
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoices import sync
from invoices.models import Event, Invoice
from invoices.webhooks import stripe_webhook
from tests.factories import InvoiceObject
from tests.helpers.events import sign, stripe_event

DOOR = "/webhooks/stripe"
Post = Callable[..., Any]
pytestmark = pytest.mark.django_db


def post_raw(client: Client, body: bytes, signature: str | None) -> Any:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    return client.post(DOOR, body, content_type="application/json", headers=headers)


class TestWhatComesIn:
    def test_is_journalled_and_then_mirrored(self, post_event: Post) -> None:
        found = InvoiceObject()
        answer = post_event(stripe_event(found))
        assert (answer.status_code, answer.json()) == (200, {"received": True, "new": True})
        row = Event.objects.get()
        assert (row.state, row.source, row.type, row.api_version) == (
            "pending",
            "webhook",
            "invoice.updated",
            conf.STRIPE_API_VERSION,
        )
        assert (row.object_type, row.object_id) == ("invoice", found["id"])
        assert (row.request_id, row.idempotency_key, row.livemode) == ("req_1", "key_1", False)
        assert not Invoice.objects.exists()  # the endpoint writes nothing but the journal
        assert sync.process_events() == 1
        assert Invoice.objects.get().data == found
        assert Event.objects.get().state == "done"

    def test_keeps_the_body_as_it_was_signed(self, client: Client) -> None:
        body = json.dumps(stripe_event(), indent=3, ensure_ascii=False).encode() + b"\n"
        post_raw(client, body, sign(body))
        assert Event.objects.get().body == body.decode()

    def test_the_same_event_twice_is_one_row(self, post_event: Post) -> None:
        event = stripe_event()
        assert post_event(event).json()["new"] is True
        sync.process_events()
        again = post_event(event)
        assert (again.status_code, again.json()) == (200, {"received": True, "new": False})
        assert Event.objects.get().state == "done"  # not pending again

    def test_a_request_as_older_versions_name_it(self, post_event: Post) -> None:
        post_event(stripe_event(request="req_old"))
        assert Event.objects.get().request_id == "req_old"


class TestSignatures:
    body = json.dumps(stripe_event(InvoiceObject(id="in_1"))).encode()

    @pytest.mark.parametrize(
        "signature",
        [
            None,
            "",
            "nonsense",
            "t=,v1=",
            "t=1",
            "v1=abc",
            "t=abc,v1=abc",
            "t=99999999999999999999999,v1=abc",
            "t=now,v1=é",
            "t=now,v1",
            "é",
            "=,=,=",
        ],
        ids=repr,
    )
    def test_none_or_a_bad_one(self, client: Client, signature: str | None) -> None:
        signature = signature and signature.replace("now", str(int(time.time())))
        assert post_raw(client, self.body, signature).status_code == 400
        assert not Event.objects.exists()

    def test_of_another_secret_or_body(self, client: Client) -> None:
        assert post_raw(client, self.body, sign(self.body, "whsec_other")).status_code == 400
        assert post_raw(client, self.body + b" ", sign(self.body)).status_code == 400
        assert not Event.objects.exists()

    @pytest.mark.parametrize(
        ("seconds", "status"), [(-3600, 400), (-301, 400), (-290, 200), (0, 200), (290, 200), (320, 400), (3600, 400)]
    )
    def test_one_from_too_long_ago_or_ahead_is_refused(self, client: Client, seconds: int, status: int) -> None:
        answer = post_raw(client, self.body, sign(self.body, at=int(time.time()) + seconds))
        assert answer.status_code == status
        assert Event.objects.count() == (1 if status == 200 else 0)

    @pytest.mark.parametrize("secret", ["whsec_old", "whsec_sandbox"])
    def test_each_secret_of_a_rotation_is_good(self, client: Client, secret: str) -> None:
        assert post_raw(client, self.body, sign(self.body, secret)).status_code == 200

    def test_one_good_signature_among_several_is_enough(self, client: Client) -> None:
        stamp, good = sign(self.body).split(",")
        assert post_raw(client, self.body, f"{stamp},v1=0000,{good},v0=1").status_code == 200

    def test_without_any_secret_nothing_is_accepted(self, client: Client, settings: Any) -> None:
        settings.STRIPE_WEBHOOK_SECRETS = []
        assert post_raw(client, self.body, sign(self.body)).status_code == 400


UNREADABLE = {
    "broken off": b'{"id": "evt_1", "data":',
    "empty": b"",
    "no JSON": b"hello",
    "a list": b"[1, 2]",
    "a string": b'"evt_1"',
    "null": b"null",
    "no id": json.dumps(stripe_event() | {"id": None}).encode(),
    "an id that is no string": json.dumps(stripe_event() | {"id": 7}).encode(),
    "an empty id": json.dumps(stripe_event() | {"id": ""}).encode(),
    "an endless id": json.dumps(stripe_event() | {"id": "e" * 256}).encode(),
    "an id with NUL": json.dumps(stripe_event() | {"id": "evt_\x00"}).encode(),
    "an id with half a surrogate pair": json.dumps(stripe_event() | {"id": "evt_\ud800"}).encode(),
    "a raw NUL": b'{"id": "evt_1\x00"}',
    "not a number": b'{"id": "evt_1", "created": NaN}',
    "infinite": b'{"id": "evt_1", "created": -Infinity}',
    "too deep": b'{"id": "evt_1", "data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number of five thousand digits": b'{"id": "evt_1", "created": ' + b"9" * 5000 + b"}",
}


class TestSignedAndUnreadable:
    """It came with our signature, so it is kept, where people can see it; and 400 has Stripe's dashboard show it."""

    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=list(UNREADABLE))
    def test_is_kept_and_answered_400(self, post_event: Post, body: bytes) -> None:
        for _ in range(2):
            assert post_event(body).status_code == 400
        row = Event.objects.get()
        assert row.id.startswith("unreadable_") and row.state == "failed" and row.error
        assert row.body == body.decode().replace("\x00", "�")
        assert sync.replay() == 0  # nothing in it can be processed

    def test_not_utf_8(self, post_event: Post) -> None:
        assert post_event(b'{"id": "\xff"}').status_code == 400
        assert post_event('{"id": "evt_1"}'.encode("utf-16")).status_code == 400
        assert not Event.objects.exists()  # a signature is over text: nobody of Stripe's signs this

    def test_a_message_that_names_no_object(self, post_event: Post) -> None:
        odd: list[Any] = [None, [], {}, {"object": None}, {"object": "in_1"}, "x"]
        for number, data in enumerate(odd):
            assert post_event(stripe_event() | {"id": f"evt_{number}", "data": data}).status_code == 200
        assert set(Event.objects.values_list("state", flat=True)) == {"ignored"}


class TestIgnored:
    """Answered 200, so that Stripe does not send them again; in the journal; and the mirror does not change."""

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            (
                {"type": "something.of_tomorrow", "data": {"object": {"object": "tomorrow", "id": "t_1"}}},
                "not mirrored",
            ),
            ({"type": "payout.paid", "data": {"object": {"object": "payout", "id": "po_1"}}}, "not mirrored"),
            ({"livemode": True}, "live mode"),
            ({"account": "acct_another"}, "another account"),
            ({"type": "invoice.upcoming"}, "does not exist yet"),
            ({"type": "invoice.updated", "data": {"object": {"object": "invoice"}}}, "no id"),
            ({"type": "invoice.updated", "data": {"object": {"object": "invoice", "id": "x" * 300}}}, "no id"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_it_changes_nothing(self, post_event: Post, changes: dict[str, Any], why: str) -> None:
        assert post_event(stripe_event() | changes).status_code == 200
        row = Event.objects.get()
        assert row.state == "ignored" and why in row.error
        assert sync.process_events() == 0 and not Invoice.objects.exists()

    def test_test_mode_where_our_key_is_live(self, post_event: Post, settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = "rk_live_1"
        post_event(stripe_event())
        post_event(stripe_event() | {"id": "evt_2", "livemode": True})
        assert list(Event.objects.order_by("id").values_list("state", flat=True)) == ["ignored", "pending"]

    def test_our_own_account_is_not_another(self, post_event: Post, settings: Any) -> None:
        settings.STRIPE_ACCOUNT = "acct_ours"
        post_event(stripe_event(account="acct_ours"))
        assert Event.objects.get().state == "pending"

    def test_an_unknown_type_of_an_object_that_we_mirror_is_its_state(self, post_event: Post) -> None:
        post_event(stripe_event(type="invoice.of_tomorrow"))
        assert sync.process_events() == 1 and Invoice.objects.exists()


class TestTheDoorItself:
    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options"])
    def test_takes_nothing_but_post(self, client: Client, method: str) -> None:
        assert getattr(client, method)(DOOR).status_code == 405

    def test_a_large_event_is_taken_and_a_larger_one_is_not(self, post_event: Post) -> None:
        room = conf.WEBHOOK_MAX_BYTES - len(json.dumps(stripe_event(InvoiceObject(description=""))))
        assert post_event(stripe_event(InvoiceObject(description="x" * (room - 100)))).status_code == 200
        assert (
            post_event(stripe_event(InvoiceObject(description="x" * (room + 100))) | {"id": "evt_2"}).status_code == 413
        )
        assert Event.objects.count() == 1

    @pytest.mark.parametrize("length", ["-5", "abc", "", "9" * 30, "1e3", "٣"])
    def test_a_length_that_is_none(self, length: str) -> None:
        body = json.dumps(stripe_event()).encode()
        request = RequestFactory().post(DOOR, body, "application/json", headers={"Stripe-Signature": sign(body)})
        request.META["CONTENT_LENGTH"] = length
        assert stripe_webhook(request).status_code in (200, 400, 413)

    def test_a_body_longer_than_it_says(self) -> None:
        request = RequestFactory().post(DOOR, b"", "application/json")
        request._stream = io.BytesIO(b"x" * (conf.WEBHOOK_MAX_BYTES + 10))
        assert stripe_webhook(request).status_code == 413

    def test_a_body_that_breaks_off(self) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise UnreadablePostError("the client went away")

        request = RequestFactory().post(DOOR, b"{}", "application/json")
        request._stream = Broken()
        assert stripe_webhook(request).status_code == 400

    def test_the_kind_of_content_does_not_matter(self, client: Client) -> None:
        body = json.dumps(stripe_event()).encode()
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", ""):
            answer = client.post(DOOR, body, content_type=kind, headers={"Stripe-Signature": sign(body)})
            assert answer.status_code == 200
        assert Event.objects.count() == 1

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        event=st.dictionaries(
            st.sampled_from([*stripe_event(), "account"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["invoice"]),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(st.sampled_from(["id", "object", "x"]), inner, max_size=3)
                ),
                max_leaves=6,
            ),
        )
    )
    def test_never_a_500(self, post_event: Post, event: dict[str, Any]) -> None:
        assert post_event(event).status_code in (200, 400)
        assert post_event(stripe_event() | event).status_code in (200, 400)
        sync.process_events()

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.binary(max_size=60), header=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
    def test_never_a_500_for_any_bytes(self, client: Client, post_event: Post, body: bytes, header: str) -> None:
        assert post_event(body).status_code in (200, 400)
        assert post_raw(client, body, header).status_code == 400


@pytest.mark.django_db(transaction=True)
class TestOverASocket:
    """What a test client cannot send: the server's own reading of the request is part of it."""

    def send(self, live_server: Any, body: Any, headers: dict[str, str], *, chunked: bool = False) -> int:
        server = http.client.HTTPConnection(urlsplit(live_server.url).netloc, timeout=20)
        try:
            server.request("POST", DOOR, body, headers, encode_chunked=chunked)
            return server.getresponse().status
        finally:
            server.close()

    def test_as_stripe_sends_it(self, live_server: Any) -> None:
        body = json.dumps(stripe_event()).encode()
        headers = {"Stripe-Signature": sign(body), "Content-Type": "application/json; charset=utf-8"}
        assert self.send(live_server, body, headers) == 200
        assert Event.objects.count() == 1

    def test_in_chunks_without_a_length_nothing_is_signed(self, live_server: Any) -> None:
        body = json.dumps(stripe_event()).encode()
        headers = {"Stripe-Signature": sign(body), "Transfer-Encoding": "chunked"}
        assert self.send(live_server, iter([body]), headers, chunked=True) == 400
        assert not Event.objects.exists()

    def test_one_that_says_it_is_too_large_is_not_read(self, live_server: Any) -> None:
        assert self.send(live_server, b"x", {"Content-Length": str(2**40)}) == 413


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_four_deliveries_of_one_event_are_one_row(self) -> None:
        body = json.dumps(stripe_event()).encode()
        statuses: list[int] = []
        gate = threading.Barrier(4)

        def deliver() -> None:
            client = Client()
            gate.wait()
            try:
                statuses.append(post_raw(client, body, sign(body)).status_code)
            finally:
                connection.close()

        threads = [threading.Thread(target=deliver) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 4
        assert Event.objects.count() == 1
        assert sync.process_events() == 1

    def test_a_broker_that_is_down_delays_nobody(self, post_event: Post, settings: Any) -> None:
        from celery import current_app

        was = current_app.conf.broker_url
        current_app.conf.broker_url = "redis://127.0.0.1:9/0"  # nothing listens there
        try:
            began = time.monotonic()
            assert post_event(stripe_event()).status_code == 200
            assert time.monotonic() - began < 5
        finally:
            current_app.conf.broker_url = was
        assert Event.objects.get().state == "pending"
        assert sync.process_events() == 1 and Invoice.objects.exists()
