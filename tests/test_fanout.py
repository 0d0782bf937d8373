"""Events for the company's services: what is owed, sent, signed, tried again, given up; and where nothing is sent."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from invoices import clock, emails, erasure, operations, reconcile, refetch, scheduled_refetches, sync
from invoices.fanout import addresses, desk_events, endpoints, owed, signing, worker
from invoices.fanout.endpoints import Actor, EndpointInvalid
from invoices.models import (
    ApiToken,
    Delivery,
    DeliveryAttempt,
    DeskEvent,
    Email,
    Event,
    Operation,
    ScheduledRefetch,
    WebhookEndpoint,
    WebhookEndpointRecord,
    personal,
)
from invoices.operations import decisions
from invoices.operations.claims import take
from invoices.thresholds import DELIVERY_KEPT, DELIVERY_LEASE, ENDPOINT_GIVEN_UP
from tests.factories import InvoiceObject, invoice_at
from tests.helpers.commands import database_url
from tests.helpers.endpoint_receiver import Service, certificate_of_localhost, made, service
from tests.helpers.events import stripe_event
from tests.helpers.operations import act
from tests.sandbox_process import ROOT, SandboxProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services_here")]
State = Delivery.State
DAY = 86_400
SCOPES = "read actions webhook_endpoints"


def changed(post_event: Any, number: int = 1, **changes: Any) -> dict[str, Any]:
    """An event about an invoice of its own came, and the mirror has it."""
    event = stripe_event(InvoiceObject(), id=f"evt_{number}", **changes)
    assert post_event(event).status_code == 200
    sync.process_events()
    return event


def the_delivery() -> Delivery:
    return Delivery.objects.get()


def closed_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/"


class TestSending:
    def test_to_the_letter_signed_and_when_the_mirror_has_it(
        self, post_event: Any, receiver: Service, live_server: Any, agent: User
    ) -> None:
        endpoint = made(receiver)
        desk = stripe.StripeClient(
            ApiToken.objects.create(agent, name="a service", scopes=SCOPES)[1], base_addresses={"api": live_server.url}
        )
        seen: list[str | None] = []
        receiver.on_event = lambda event: seen.append(desk.v1.invoices.retrieve(event.data.object.id).status)
        invoice = InvoiceObject(status="paid", customer_name="Zoë\u2028 \\u0041", amount_remaining=0)
        body = json.dumps(stripe_event(invoice), indent=3, ensure_ascii=False).encode()
        assert post_event(body).status_code == 200
        assert worker.deliver_due() == 0  # the mirror does not have it yet
        sync.process_events()
        assert worker.deliver_due() == 1
        assert receiver.bodies == [body] and seen == ["paid"]
        [headers] = receiver.headers
        assert headers["Content-Type"] == "application/json; charset=utf-8"
        delivery = the_delivery()
        assert (delivery.state, delivery.attempts, delivery.last_status) == (State.DELIVERED, 1, 200)
        assert DeliveryAttempt.objects.get().status == 200
        assert worker.deliver_due() == 0
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_another")
        assert WebhookEndpoint.objects.get(pk=endpoint.pk).failing_since is None

    def test_only_the_types_that_it_takes(self, post_event: Any, receiver: Service) -> None:
        made(receiver, "invoice.paid", "invoice.voided")
        for number, type in enumerate(("invoice.updated", "invoice.paid", "invoice.voided", "invoice.paidx")):
            changed(post_event, number, type=type)
        worker.deliver_due()
        assert sorted(event.type for event in receiver.events) == ["invoice.paid", "invoice.voided"]

    def test_an_event_that_is_ignored_is_not_sent(self, post_event: Any, receiver: Service) -> None:
        made(receiver)
        changed(post_event, 1, account="acct_other")
        changed(post_event, 2, livemode=True)
        assert not Delivery.objects.exists() and worker.deliver_due() == 0

    def test_a_repeated_or_replayed_event_is_owed_once(self, post_event: Any, receiver: Service) -> None:
        made(receiver)
        event = changed(post_event)
        post_event(event)
        Event.objects.update(state="pending")
        sync.process_events()
        worker.deliver_due()
        assert receiver.ids == ["evt_1"]

    def test_what_the_catch_up_brought_is_sent_too(self, sandbox: SandboxProcess, receiver: Service) -> None:
        made(receiver, "invoice.finalized")
        invoice = invoice_at(sandbox)
        reconcile.catch_up()
        sync.process_events()
        _no_refetches()
        worker.deliver_due()
        assert [event.data.object.id for event in receiver.events] == [invoice.id]

    def test_it_waits_for_the_read_that_the_mirror_awaits(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        made(receiver)
        event = changed(post_event)
        scheduled_refetches.schedule([("invoice", event["data"]["object"]["id"])])
        assert worker.deliver_due() == 0 and the_delivery().attempts == 0
        _no_refetches()
        later(2)
        assert worker.deliver_due() == 1 and receiver.ids == ["evt_1"]

    def test_it_waits_for_no_read_that_does_not_come(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        made(receiver)
        event = changed(post_event)
        scheduled_refetches.schedule([("invoice", event["data"]["object"]["id"])])
        later(301)
        assert worker.deliver_due() == 1

    def test_without_an_endpoint_a_batch_costs_one_question_more(self, post_event: Any) -> None:
        assert post_event(stripe_event()).status_code == 200
        with CaptureQueriesContext(
            connection,
        ) as asked:
            sync.process_events()
        ours = [each["sql"] for each in asked if "webhookendpoint" in each["sql"] or "delivery" in each["sql"]]
        assert len(ours) == 1

    def test_many_events_are_owed_by_one_statement(self, post_event: Any, receiver: Service) -> None:
        made(receiver)
        for number in range(20):
            post_event(stripe_event(InvoiceObject(), id=f"evt_{number}"))
        with CaptureQueriesContext(connection) as asked:
            sync.process_events()
        assert sum('INTO "invoices_delivery"' in each["sql"] for each in asked) == 1
        worker.deliver_due()
        assert sorted(receiver.ids) == sorted(f"evt_{number}" for number in range(20))


def _no_refetches() -> None:
    ScheduledRefetch.objects.all().delete()


class TestTryingAgain:
    def test_later_and_later_for_three_days(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        made(receiver, "invoice.updated")
        receiver.answer = lambda id: 503
        changed(post_event)
        waits = []
        began = clock.now()
        while the_delivery().state == State.PENDING:
            assert worker.deliver_due() == 1
            delivery = the_delivery()
            waits.append((delivery.next_attempt_at - clock.now()).total_seconds())
            assert worker.deliver_due() == 0
            later(waits[-1] + 0.1)
            WebhookEndpoint.objects.update(failing_since=None)  # other events are taken
        assert 7 < waits[0] < 13 and 14 < waits[1] < 26 and max(waits) <= 3 * 3600 * 1.25
        assert timedelta(days=3) <= clock.now() - began < timedelta(days=3, hours=8)
        assert delivery.state == State.FAILED and delivery.attempts == len(waits) == DeliveryAttempt.objects.count()
        assert (delivery.last_status, delivery.last_error) == (503, "It answered 503.")

    def test_then_it_is_taken(self, post_event: Any, receiver: Service, later: Callable[[float], None]) -> None:
        made(receiver)
        receiver.answer = lambda id: 500 if len(receiver.events) == 0 else 204
        changed(post_event)
        worker.deliver_due()
        assert WebhookEndpoint.objects.get().failing_since is not None
        later(20)
        worker.deliver_due()
        assert receiver.ids == ["evt_1", "evt_1"] and the_delivery().state == State.DELIVERED
        assert WebhookEndpoint.objects.get().failing_since is None

    def test_no_answer_has_the_endpoint_rest(self, post_event: Any, later: Callable[[float], None]) -> None:
        made(closed_port())
        for number in range(6):
            changed(post_event, number)
        assert worker.deliver_due() <= worker.THREADS_PER_ENDPOINT
        endpoint = WebhookEndpoint.objects.get()
        assert endpoint.rests_until and endpoint.unanswered
        assert worker.deliver_due() == 0
        later(30)
        assert worker.deliver_due() == 1  # one thread tries one event
        assert set(DeliveryAttempt.objects.values_list("status", flat=True)) == {None}

    def test_a_slow_endpoint_keeps_no_other_waiting(self, post_event: Any, receiver: Service) -> None:
        with service() as slow:
            for _ in range(3):
                made(slow)
            made(receiver)
            slow.secrets = []
            slow.on_event = lambda event: time.sleep(1.5)
            for number in range(8):
                changed(post_event, number)
            began = time.monotonic()
            working = threading.Thread(target=worker.deliver_due)
            working.start()
            receiver.wait(8)
            assert max(receiver.moments) - began < 1.4
            changed(post_event, 99)  # while the slow ones are still at work
            receiver.wait(9)
            assert receiver.moments[-1] - began < 4 and working.is_alive()
            working.join()
            assert len(slow.bodies) == 27

    def test_a_service_that_drips_is_ended(self, post_event: Any, settings: Any) -> None:
        settings.WEBHOOK_ENDPOINTS_TIMEOUT_SECONDS = 0.5
        with socket.create_server(("127.0.0.1", 0)) as listening:
            endpoint = made(f"http://127.0.0.1:{listening.getsockname()[1]}/")

            def drip() -> None:
                held, _ = listening.accept()
                with held:
                    try:
                        for _ in range(100):
                            held.send(b"HTTP/1.1 200 OK\r\n"[:1])
                            time.sleep(0.1)
                    except OSError:
                        return

            threading.Thread(target=drip, daemon=True).start()
            changed(post_event)
            began = time.monotonic()
            assert worker.deliver_due() == 1
            assert time.monotonic() - began < 2.5
        assert the_delivery().last_status is None and the_delivery().state == State.PENDING
        assert WebhookEndpoint.objects.get(pk=endpoint.pk).unanswered == 1


KILLED = """
import os, django; django.setup()
from invoices.fanout import owed, worker
real = owed.{where}
def die(*given): {first}; os._exit(9)
owed.{where} = die
worker.deliver_due()
"""


class TestKilled:
    def kill(self, where: str, first: str = "") -> None:
        """A worker is killed where it calls this function of `owed`, after it did `first`."""
        env = {
            "PATH": "/usr/bin:/bin",
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        words = [sys.executable, "-c", KILLED.format(where=where, first=first or "None")]
        ended = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 9, ended.stderr

    def test_between_sending_and_recording_it_is_sent_again(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        made(receiver)
        changed(post_event)
        self.kill("delivered")
        assert receiver.ids == ["evt_1"] and the_delivery().state == State.PENDING
        assert worker.deliver_due() == 0
        later(DELIVERY_LEASE.total_seconds() + 1)
        assert worker.deliver_due() == 1
        assert receiver.ids == ["evt_1", "evt_1"] and the_delivery().state == State.DELIVERED

    def test_a_success_that_is_on_record_has_ended_the_failing(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        """Else the next failure would disable an endpoint that took an event a moment ago."""
        made(receiver)
        WebhookEndpoint.objects.update(failing_since=clock.now() - ENDPOINT_GIVEN_UP)
        changed(post_event)
        self.kill("delivered", first="real(*given)")
        if the_delivery().state == State.DELIVERED:
            assert WebhookEndpoint.objects.get().failing_since is None
        later(DELIVERY_LEASE.total_seconds() + 1)
        worker.deliver_due()
        assert the_delivery().state == State.DELIVERED and WebhookEndpoint.objects.get().failing_since is None

    def test_before_sending_nothing_is_lost(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        made(receiver)
        changed(post_event)
        self.kill("body_of")
        assert receiver.ids == []
        later(DELIVERY_LEASE.total_seconds() + 1)
        worker.deliver_due()
        assert receiver.ids == ["evt_1"]

    def test_what_is_owed_is_written_with_the_mirror_or_not_at_all(
        self, post_event: Any, receiver: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made(receiver)
        assert post_event(stripe_event()).status_code == 200

        class Killed(BaseException):
            pass

        def die(*given: Any) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(sync.contradictions, "look_at", die)  # after the deliveries, in the same transaction
            with pytest.raises(Killed):
                sync.process_events()
        assert not Delivery.objects.exists() and Event.objects.get().state == "pending"
        sync.process_events()
        assert the_delivery().state == State.PENDING and Event.objects.get().state == "done"
        worker.deliver_due()
        assert receiver.ids == ["evt_1"]

    def test_two_workers_send_it_once(self, post_event: Any, receiver: Service) -> None:
        endpoint = made(receiver)
        for number in range(12):
            changed(post_event, number)
        threads = [threading.Thread(target=worker._send_to, args=(endpoint.pk,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(receiver.ids) == len(set(receiver.ids)) == 12


class TestOnceMore:
    def test_one_delivery(self, post_event: Any, receiver: Service, manager: User) -> None:
        made(receiver)
        changed(post_event)
        worker.deliver_due()
        endpoints.redeliver(the_delivery(), Actor(manager))
        worker.deliver_due()
        assert receiver.ids == ["evt_1", "evt_1"] and the_delivery().attempts == 2
        record = WebhookEndpointRecord.objects.get(what="redelivered")
        assert (record.by, record.detail) == (manager, "evt_1")

    def test_everything_since_a_moment(
        self, post_event: Any, receiver: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owed, "EVENTS_AT_ONCE", 2)
        changed(post_event, 0)
        since = clock.now()
        endpoint = made(receiver, "invoice.updated")
        for number in range(1, 4):
            changed(post_event, number)
        endpoints.disable(endpoint, Actor())
        for number in range(4, 6):  # nobody was owed these
            changed(post_event, number)
        changed(post_event, 6, type="invoice.paid")
        changed(post_event, 7, livemode=True)
        with pytest.raises(EndpointInvalid, match="Enable it first"):
            endpoints.redeliver_since(endpoint, since, Actor())
        endpoints.enable(endpoint, Actor())
        endpoints.redeliver_since(endpoint, since, Actor())
        worker.deliver_due()
        assert sorted(receiver.ids) == [f"evt_{number}" for number in range(1, 6)]
        assert WebhookEndpoint.objects.get().redeliver_from is None

    def test_many_events_of_ours_some_at_a_time_and_no_tests_of_other_endpoints(
        self, agent: User, receiver: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owed, "ROWS_AT_ONCE", 2)
        with service() as other:
            endpoint = made(receiver)
            endpoints.send_test(made(other), Actor())
            since = DeskEvent.objects.get().created_at
            for number in range(5):
                operation = Operation(action="void", invoice="in_1", source="admin", actor=agent, state="refused")
                desk_events.tell(operation)
                if number == 2:
                    worker.deliver_due()
            Delivery.objects.filter(state=State.PENDING).delete()  # as those that nobody was owed
            with CaptureQueriesContext(connection) as asked:
                endpoints.redeliver_since(endpoint, since, Actor())
            worker.deliver_due()
        assert (
            sum("INSERT" in each["sql"] and "invoices_delivery" in each["sql"] for each in asked.captured_queries) == 3
        )
        assert len(receiver.ids) == 3 + 5 and len(set(receiver.ids)) == 5
        assert {event.type for event in receiver.events} == {"invoice_desk.operation.refused"}

    def test_asked_for_while_it_is_being_sent(self, post_event: Any, receiver: Service) -> None:
        made(receiver)
        changed(post_event)
        first: list[int] = []

        def ask(event: Any) -> None:
            if not first:
                first.append(1)
                endpoints.redeliver(the_delivery(), Actor())
                connection.close()

        receiver.on_event = ask
        worker.deliver_due()
        worker.deliver_due()
        assert receiver.ids == ["evt_1", "evt_1"] and the_delivery().state == State.DELIVERED

    def test_old_rows_go(self, post_event: Any, receiver: Service, later: Callable[[float], None]) -> None:
        endpoint = made(receiver)
        changed(post_event)
        endpoints.send_test(endpoint, Actor())
        worker.deliver_due()
        later(DELIVERY_KEPT.total_seconds() - 60)
        assert owed.remove_old() == 0 and DeskEvent.objects.exists()
        later(120)
        assert owed.remove_old() == 2
        assert not Delivery.objects.exists() and not DeliveryAttempt.objects.exists() and not DeskEvent.objects.exists()


class TestDisabling:
    def test_after_three_days_of_nothing_but_failures(
        self, post_event: Any, later: Callable[[float], None], manager: User, agent: User, auditor: User
    ) -> None:
        endpoint = made(closed_port(), owner=agent)
        changed(post_event)
        changed(post_event, 2)
        worker.deliver_due()
        later(ENDPOINT_GIVEN_UP.total_seconds() - 60)
        worker.deliver_due()
        assert WebhookEndpoint.objects.get().is_enabled
        later(4 * 3600)
        changed(post_event, 3)
        worker.deliver_due()
        endpoint = WebhookEndpoint.objects.get()
        assert not endpoint.is_enabled and "3 days" in endpoint.disabled_because
        assert not Delivery.objects.filter(state=State.PENDING).exists()
        emails.send_due()
        assert sorted(sent.to[0] for sent in mail.outbox) == [agent.email, manager.email]
        assert endpoint.url in mail.outbox[0].subject and endpoint.pk in mail.outbox[0].body
        record = WebhookEndpointRecord.objects.get(what="disabled")
        assert record.who == "the desk"
        changed(post_event, 4)
        assert not Delivery.objects.filter(event="evt_4").exists() and worker.deliver_due() == 0

    def test_at_once_where_it_is_gone(self, post_event: Any, receiver: Service) -> None:
        made(receiver)
        receiver.answer = lambda id: 410
        changed(post_event)
        worker.deliver_due()
        assert WebhookEndpoint.objects.get().disabled_because == "It answered 410 Gone."
        assert (the_delivery().state, the_delivery().last_status) == (State.ABANDONED, 410)

    def test_one_success_in_three_days_keeps_it(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        made(receiver)
        receiver.answer = lambda id: 500 if id == "evt_1" else 200
        changed(post_event)
        for number in range(2, 9):
            changed(post_event, number)
            worker.deliver_due()
            later(DAY / 2)
        assert WebhookEndpoint.objects.get().is_enabled

    @pytest.mark.parametrize("meanwhile", ["taken", "moved", "enabled"])
    def test_an_old_attempt_that_fails_late_says_nothing_of_what_came_after(
        self, post_event: Any, receiver: Service, later: Callable[[float], None], meanwhile: str
    ) -> None:
        """It began when everything had failed for three days. By its end another thread had a success, or somebody gave
        the endpoint another address, or had disabled it and enabled it again."""
        endpoint = made(receiver)
        failing_since = clock.now() - ENDPOINT_GIVEN_UP
        WebhookEndpoint.objects.update(failing_since=failing_since, unanswered=3)
        changed(post_event)

        def happens(event: Any) -> None:
            if meanwhile == "taken":
                worker._note_success(WebhookEndpoint.objects.get())
            elif meanwhile == "moved":
                endpoints.change(endpoint, Actor(), url=receiver.url + "/moved")
            else:
                endpoints.disable(endpoint, Actor())
                endpoints.enable(endpoint, Actor())
            connection.close()

        receiver.on_event = happens
        receiver.answer = lambda id: 410 if meanwhile == "moved" else 500
        worker.deliver_due()
        row = WebhookEndpoint.objects.get()
        assert row.is_enabled and row.unanswered == 0
        assert row.failing_since is None or row.failing_since > failing_since

    def test_deleted_it_forgets_its_secret(self, post_event: Any, receiver: Service) -> None:
        endpoint = made(receiver)
        changed(post_event)
        endpoints.delete(endpoint, Actor())
        row = WebhookEndpoint.objects.get()
        assert (row.secret, row.previous_secret) == ("", "") and the_delivery().state == State.ABANDONED
        assert worker.deliver_due() == 0 and receiver.bodies == []


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1/",
            "https://localhost/hook",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:7f00:1::]/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
        ],
    )
    def test_inside(self, url: str, settings: Any) -> None:
        settings.WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS = []
        with pytest.raises(EndpointInvalid, match=r"not public|has no address"):
            made(url)
        assert not WebhookEndpoint.objects.exists()

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https://user:word@127.0.0.1/",
            "https://127.0.0.1/#part",
            "https://127.0.0.1/a b",
            "https://127.0.0.1/\r\nHost: x",
            "https://127.0.0.1:99999/",
            "https://127.0.0.1/" + "x" * 3000,
            "https://no-such-host.invalid/",
        ],
    )
    def test_no_address(self, url: str) -> None:
        with pytest.raises(EndpointInvalid) as refused:
            made(url)
        assert refused.value.parameter == "url"

    def test_public_ones_need_tls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses.check("https://93.184.215.14/hook")
        with pytest.raises(addresses.AddressRefused, match="https://"):
            addresses.check("http://93.184.215.14/hook")

    def test_a_name_that_leads_inside_later_on(self, post_event: Any, receiver: Service, settings: Any) -> None:
        """`localhost` stands for a name that was public when the endpoint was made."""
        endpoint = made(receiver.url.replace("127.0.0.1", "localhost"))
        settings.WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS = []
        changed(post_event)
        worker.deliver_due()
        assert receiver.bodies == [] and "not public" in the_delivery().last_error
        assert WebhookEndpoint.objects.get(pk=endpoint.pk).unanswered == 1

    def test_the_name_is_looked_up_once_for_each_connection(
        self, post_event: Any, receiver: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name service that gives another address at the second question leads nowhere."""
        made(receiver.url.replace("127.0.0.1", "localhost"))
        changed(post_event)
        asked: list[str] = []
        real = socket.getaddrinfo

        def look_up(host: Any, *given: Any, **named: Any) -> Any:
            if host == "localhost":
                asked.append(host)
                return real("127.0.0.1" if len(asked) == 1 else "10.0.0.1", *given, **named)
            return real(host, *given, **named)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        worker.deliver_due()
        assert asked == ["localhost"] and len(receiver.bodies) == 1
        assert receiver.headers[0]["Host"].startswith("localhost:")

    def test_a_redirect_is_not_followed(self, post_event: Any, receiver: Service) -> None:
        with service() as inside:
            made(receiver)
            receiver.answer, receiver.location = (lambda id: 307), inside.url
            changed(post_event)
            worker.deliver_due()
            assert inside.bodies == [] and "redirect" in the_delivery().last_error

    def test_no_proxy_of_the_environment_connects_for_us(
        self, post_event: Any, receiver: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", closed_port())
        made(receiver)
        changed(post_event)
        worker.deliver_due()
        assert receiver.ids == ["evt_1"]


class TestTls:
    def test_the_name_is_asked_for_and_its_certificate_is_checked(
        self, post_event: Any, settings: Any, tmp_path: Path
    ) -> None:
        certificate = certificate_of_localhost(tmp_path)
        settings.WEBHOOK_ENDPOINTS_CA_FILE = str(certificate)
        with service(certificate) as receiver:
            made(receiver)
            changed(post_event)
            worker.deliver_due()
            assert receiver.ids == ["evt_1"] and receiver.names_asked == ["localhost"]

    def test_of_a_stranger_or_of_another_name(
        self, post_event: Any, settings: Any, tmp_path: Path, later: Callable[[float], None]
    ) -> None:
        certificate = certificate_of_localhost(tmp_path)
        with service(certificate) as receiver:
            endpoint = made(receiver)
            changed(post_event)
            worker.deliver_due()
            assert "certificate" in the_delivery().last_error
            settings.WEBHOOK_ENDPOINTS_CA_FILE = str(certificate)
            endpoints.change(endpoint, Actor(), url=receiver.url.replace("localhost", "127.0.0.1"))
            later(20)
            worker.deliver_due()
            assert the_delivery().attempts == 2 and "certificate" in the_delivery().last_error
            assert receiver.bodies == []


class TestSecrets:
    def test_both_sign_while_one_is_replaced(
        self, post_event: Any, receiver: Service, later: Callable[[float], None]
    ) -> None:
        endpoint = made(receiver)
        [old] = receiver.secrets
        new = endpoints.replace_secret(endpoint, Actor(), timedelta(hours=1))
        receiver.secrets = [old, new]  # the service checks under both
        changed(post_event)
        worker.deliver_due()
        assert receiver.ids == ["evt_1"]
        assert receiver.headers[0]["Stripe-Signature"].count("v1=") == 2
        later(3601)
        receiver.secrets = [new]
        changed(post_event, 2)
        worker.deliver_due()
        assert receiver.headers[1]["Stripe-Signature"].count("v1=") == 1

    def test_it_stands_nowhere(
        self, post_event: Any, receiver: Service, manager: User, client: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        endpoint = made(receiver)
        [secret] = receiver.secrets
        changed(post_event)
        receiver.answer = lambda id: 500
        worker.deliver_due()
        client.force_login(manager)
        shown = [
            client.get(f"/admin/invoices/webhookendpoint/{path}").content.decode() for path in ("", f"{endpoint.pk}/")
        ]
        rows = [str(row) for table in _tables() for row in table.objects.values()]
        assert endpoint.pk in shown[1]
        for text in [*shown, caplog.text, *rows]:
            assert secret not in text and secret.removeprefix("whsec_") not in text

    def test_after_the_key_was_replaced(self, receiver: Service, settings: Any) -> None:
        endpoint = made(receiver)
        old = settings.SECRET_KEY
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [old]
        assert signing.secrets_of(endpoint, clock.now()) == receiver.secrets
        settings.SECRET_KEY_FALLBACKS = []
        with pytest.raises(signing.SecretUnreadable, match="Replace the secret"):
            signing.secrets_of(endpoint, clock.now())


def _tables() -> list[Any]:
    return [WebhookEndpoint, WebhookEndpointRecord, Delivery, DeliveryAttempt, DeskEvent]


class TestOperations:
    def test_what_it_came_to_once(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, receiver: Service, live_server: Any
    ) -> None:
        made(receiver, *desk_events.TYPES)
        operation = act("void", open_invoice.id, agent)
        assert operation.state == "succeeded"
        desk_events.tell(operation)  # as after a repeated settling
        _no_refetches()
        worker.deliver_due()
        [event] = receiver.events
        assert event.type == "invoice_desk.operation.succeeded" and event.object == "event"
        desk = stripe.StripeClient(
            ApiToken.objects.create(agent, name="a service", scopes=SCOPES)[1], base_addresses={"api": live_server.url}
        )
        shown = desk.raw_request("get", f"/v1/operations/{operation.pk}")
        assert event.data.object.to_dict() == json.loads(json.dumps(shown.data))
        assert event.data.object["expand"] == []

    def test_refused_and_failed(self, sandbox: SandboxProcess, agent: User, receiver: Service) -> None:
        made(receiver, "*")
        draft = invoice_at(sandbox, finalize=False)
        refetch.refetch("invoice", draft.id)
        with pytest.raises(operations.Refusal):
            act("void", draft.id, agent)
        declined = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        refetch.refetch("invoice", declined.id)
        assert act("pay", declined.id, agent).state == "failed"
        worker.deliver_due()
        types = sorted(event.type for event in receiver.events)
        assert types == ["invoice_desk.operation.failed", "invoice_desk.operation.refused"]

    def test_waiting_and_rejected(self, sandbox: SandboxProcess, agent: User, manager: User, receiver: Service) -> None:
        made(receiver, *desk_events.TYPES)
        invoice = invoice_at(sandbox, amount=500_000)
        refetch.refetch("invoice", invoice.id)
        operation = act("void", invoice.id, agent)
        assert operation.state == "awaiting_approval"
        decisions.reject(operation.pk, approver=manager, reason="not this one")
        worker.deliver_due()
        types = sorted(event.type for event in receiver.events)
        assert types == ["invoice_desk.operation.awaiting_approval", "invoice_desk.operation.rejected"]

    def test_it_is_written_with_the_outcome_or_not_at_all(
        self, open_invoice: Any, agent: User, receiver: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made(receiver)
        operation = Operation.objects.create(
            action="void", invoice="in_x", source="admin", actor=agent, state="unknown", settle_at=clock.now()
        )
        claim = take(operation.pk, Q(state="unknown"))
        assert claim is not None

        class Killed(BaseException):
            pass

        def die(*given: Any) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(owed, "owe_to", die)
            with pytest.raises(Killed):
                claim.finish("failed", [], message="x")
        assert Operation.objects.get(pk=operation.pk).state == "unknown" and not DeskEvent.objects.exists()
        claim.finish("failed", [], message="x")
        assert DeskEvent.objects.get().type == "invoice_desk.operation.failed"
        assert the_delivery().state == State.PENDING

    def test_a_fault_of_ours_keeps_no_outcome_back(
        self, open_invoice: Any, agent: User, receiver: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made(receiver)
        monkeypatch.setattr(desk_events, "_shown", [lambda operation: 1 / 0])
        assert act("void", open_invoice.id, agent).state == "succeeded"
        assert not DeskEvent.objects.exists()

    def test_unknown_is_told_once(self, agent: User, receiver: Service) -> None:
        made(receiver)
        operation = Operation.objects.create(
            action="void", invoice="in_x", source="admin", actor=agent, state="unknown"
        )
        for _ in range(3):
            with transaction.atomic():
                desk_events.tell(operation)
        assert DeskEvent.objects.count() == Delivery.objects.count() == 1


class TestTheApi:
    @pytest.fixture
    def desk(self, live_server: Any, manager: User) -> stripe.StripeClient:
        key = ApiToken.objects.create(manager, name="a service", scopes=SCOPES)[1]
        return stripe.StripeClient(key, base_addresses={"api": live_server.url})

    def test_by_the_sdk(self, desk: stripe.StripeClient, post_event: Any, receiver: Service, manager: User) -> None:
        made_one = desk.v1.webhook_endpoints.create(
            {"url": receiver.url, "enabled_events": ["invoice.updated"], "description": "Dunning"}
        )
        assert made_one.secret and made_one.secret.startswith("whsec_") and made_one.status == "enabled"
        receiver.secrets = [made_one.secret]
        changed(post_event)
        worker.deliver_due()
        assert receiver.ids == ["evt_1"]
        found = desk.v1.webhook_endpoints.retrieve(made_one.id)
        assert (found.url, found.enabled_events, found.description) == (receiver.url, ["invoice.updated"], "Dunning")
        assert not hasattr(found, "secret") and [each.id for each in desk.v1.webhook_endpoints.list()] == [made_one.id]
        updated = desk.v1.webhook_endpoints.update(
            made_one.id, {"enabled_events": ["*"], "disabled": True, "description": ""}
        )
        assert (updated.status, updated.enabled_events, updated.description) == ("disabled", ["*"], None)
        assert desk.v1.webhook_endpoints.update(made_one.id, {"disabled": False}).status == "enabled"
        assert desk.v1.webhook_endpoints.delete(made_one.id).deleted is True
        with pytest.raises(stripe.InvalidRequestError) as missing:
            desk.v1.webhook_endpoints.retrieve(made_one.id)
        assert missing.value.code == "resource_missing"
        assert list(desk.v1.webhook_endpoints.list()) == []
        records = WebhookEndpointRecord.objects.order_by("pk")
        assert [each.what for each in records] == ["created", "changed", "disabled", "enabled", "deleted"]
        assert {each.by for each in records} == {manager} and all(each.request_id and each.token for each in records)

    def test_the_same_key_makes_one(self, desk: stripe.StripeClient) -> None:
        wanted: Any = {"url": closed_port(), "enabled_events": ["*"]}
        first, second = (
            desk.v1.webhook_endpoints.create(wanted, {"idempotency_key": "one intention"}) for _ in range(2)
        )
        assert (first.id, first.secret) == (second.id, second.secret)
        with pytest.raises(stripe.IdempotencyError):
            other: Any = {**wanted, "url": closed_port()}
            desk.v1.webhook_endpoints.create(other, {"idempotency_key": "one intention"})
        assert WebhookEndpoint.objects.count() == 1

    def test_the_same_key_after_the_secret_can_no_longer_be_read(
        self, desk: stripe.StripeClient, settings: Any
    ) -> None:
        wanted: Any = {"url": "http://127.0.0.1:9/", "enabled_events": ["*"]}
        desk.v1.webhook_endpoints.create(wanted, {"idempotency_key": "k"})
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", []
        with pytest.raises(stripe.APIError, match="Replace the secret") as caught:
            desk.v1.webhook_endpoints.create(wanted, {"idempotency_key": "k"})
        assert caught.value.http_status == 409

    def test_deliveries_and_redelivery(self, desk: stripe.StripeClient, post_event: Any, receiver: Service) -> None:
        endpoint = made(receiver)
        for number in range(3):
            changed(post_event, number)
        receiver.answer = lambda id: 400 if id == "evt_1" else 200
        worker.deliver_due()
        address = f"/v1/webhook_endpoints/{endpoint.pk}"

        def listed(**given: Any) -> list[Any]:
            return json.loads(json.dumps(desk.raw_request("get", f"{address}/deliveries", **given).data))["data"]

        assert [each["event"] for each in listed()] == ["evt_2", "evt_1", "evt_0"]
        [pending] = listed(state="pending")
        assert (pending["event"], pending["last_status"]) == ("evt_1", 400) and pending["next_attempt"]
        assert [each["event"] for each in listed(starting_after=pending["id"])] == ["evt_0"]
        assert [each["state"] for each in listed(event="evt_0")] == ["delivered"]
        receiver.answer = lambda id: 200
        desk.raw_request("post", f"{address}/redeliver", delivery=pending["id"])
        desk.raw_request("post", f"{address}/redeliver", event="evt_0")
        worker.deliver_due()
        assert sorted(receiver.ids[3:]) == ["evt_0", "evt_1"]
        desk.raw_request("post", f"{address}/redeliver", since=int(time.time()) - 60)
        worker.deliver_due()
        assert sorted(receiver.ids[5:]) == ["evt_0", "evt_1", "evt_2"]
        new = desk.raw_request("post", f"{address}/replace_secret", overlap_hours=0).data
        assert new["secret"] != receiver.secrets[0]

    @pytest.mark.parametrize(
        ("path", "given", "param"),
        [
            ("", {"enabled_events[]": "*"}, "url"),
            ("", {"url": "https://93.184.215.14/"}, "enabled_events"),
            ("", {"url": "https://10.0.0.1/", "enabled_events[]": "*"}, "url"),
            ("", {"url": "https://93.184.215.14/", "enabled_events[]": "Not A Type"}, "enabled_events"),
            ("", {"url": "https://93.184.215.14/", "enabled_events[]": "*", "metadata[a]": "b"}, "metadata[a]"),
            ("", {"url[a]": "https://93.184.215.14/", "enabled_events[]": "*"}, "url"),
            ("", {"url": "https://93.184.215.14/", "enabled_events": "*"}, "enabled_events"),
            ("/{id}", {"disabled": "perhaps"}, "disabled"),
            ("/{id}", {"url": ""}, "url"),
            ("/{id}/redeliver", {}, "since"),
            ("/{id}/redeliver", {"since": "99999999999999"}, "since"),
            ("/{id}/redeliver", {"since": "4102444800"}, "since"),
            ("/{id}/redeliver", {"event": "evt_unknown"}, "event"),
            ("/{id}/redeliver", {"delivery": "x"}, "delivery"),
            ("/{id}/replace_secret", {"overlap_hours": "1000"}, "overlap_hours"),
            ("/we_unknown", {"disabled": "true"}, "webhook_endpoint"),
        ],
    )
    def test_wrong_parameters(self, client: Any, manager: User, path: str, given: Any, param: str) -> None:
        endpoint = made(closed_port())
        key = ApiToken.objects.create(manager, name="a service", scopes=SCOPES)[1]
        address = f"/v1/webhook_endpoints{path.format(id=endpoint.pk)}"
        reply = client.post(address, given, headers={"Authorization": f"Bearer {key}"})
        reply = client.post(
            address,
            "&".join(f"{name}={value}" for name, value in given.items()),
            content_type="application/x-www-form-urlencoded",
            headers={"Authorization": f"Bearer {key}"},
        )
        assert (reply.status_code, reply.json()["error"]["param"]) == (404 if "unknown" in path else 400, param)

    def test_who_may(self, client: Any, agent: User, manager: User, auditor: User) -> None:
        endpoint = made(closed_port())

        def status(user: User, method: str, path: str = "", read_only: bool = False) -> int:
            scopes = "read" if read_only else SCOPES
            key = ApiToken.objects.create(user, name="a service", read_only=read_only, scopes=scopes)[1]
            address = f"/v1/webhook_endpoints{path}"
            return getattr(client, method)(address, headers={"Authorization": f"Bearer {key}"}).status_code

        one = f"/{endpoint.pk}"
        assert [status(agent, "get"), status(agent, "post"), status(agent, "delete", one)] == [403] * 3
        assert [status(auditor, "get"), status(auditor, "get", f"{one}/deliveries")] == [200] * 2
        assert [status(auditor, "post", one), status(auditor, "post", f"{one}/redeliver")] == [403] * 2
        assert status(manager, "post", one, read_only=True) == status(manager, "post", read_only=True) == 403
        assert status(manager, "get", one, read_only=True) == 200
        assert status(manager, "delete", one) == 200

    def test_no_more_than_sixteen(self) -> None:
        for _ in range(endpoints.MAX_ENDPOINTS):
            made(closed_port())
        with pytest.raises(EndpointInvalid, match="Delete one first"):
            made(closed_port())


class TestTheAdmin:
    @pytest.fixture
    def boss(self, client: Any, manager: User) -> Any:
        client.force_login(manager)
        return client

    def test_made_changed_and_sent_again(self, boss: Any, manager: User, post_event: Any, receiver: Service) -> None:
        root = "/admin/invoices/webhookendpoint"
        shown = boss.post(f"{root}/add/", {"url": receiver.url, "enabled_events": "invoice.updated\n\ninvoice.paid"})
        secret = re.search(r"whsec_\w+", shown.content.decode())
        assert secret and "no-store" in shown["Cache-Control"]
        receiver.secrets = [secret[0]]
        endpoint = WebhookEndpoint.objects.get()
        assert (endpoint.enabled_events, endpoint.owner) == (["invoice.updated", "invoice.paid"], manager)
        page = f"{root}/{endpoint.pk}"
        changed(post_event)
        worker.deliver_due()
        assert "evt_1" in boss.get(f"{page}/").content.decode()
        assert "evt_1" not in boss.get(f"{page}/?state=failed").content.decode()
        delivery = f"{page}/deliveries/{the_delivery().pk}/"
        assert "200" in boss.get(delivery).content.decode()
        boss.post(delivery)
        boss.post(f"{page}/test/")
        boss.post(f"{page}/redeliver/", {"since": "2020-01-01T00:00"})
        worker.deliver_due()
        assert sorted({event.type for event in receiver.events}) == ["invoice.updated", desk_events.TEST]
        assert receiver.ids.count("evt_1") >= 2
        shown = boss.post(f"{page}/secret/", {"overlap_hours": "1"})
        assert receiver.secrets[0] not in shown.content.decode() and "whsec_" in shown.content.decode()
        boss.post(f"{page}/edit/", {"url": receiver.url, "enabled_events": "*", "description": "Dunning"})
        boss.post(f"{page}/switch/")
        assert not WebhookEndpoint.objects.get().is_enabled
        boss.post(f"{page}/switch/")
        boss.post(f"{page}/remove/")
        whats = [each.what for each in WebhookEndpointRecord.objects.order_by("pk")]
        assert whats == [
            *("created", "redelivered", "tested", "redelivered", "secret_replaced", "changed"),
            *("disabled", "enabled", "deleted"),
        ]
        assert boss.get(f"{page}/").status_code == 404 and boss.get(f"{root}/").status_code == 200

    def test_an_address_inside_is_refused_beside_its_field(self, boss: Any) -> None:
        sent = {"url": "https://10.0.0.1/", "enabled_events": "*"}
        shown = boss.post("/admin/invoices/webhookendpoint/add/", sent).content.decode()
        assert "not public" in shown and not WebhookEndpoint.objects.exists()

    @pytest.mark.parametrize("path", ["edit/", "secret/", "switch/", "remove/", "test/", "redeliver/"])
    def test_who_only_looks_changes_nothing(self, client: Any, auditor: User, agent: User, path: str) -> None:
        endpoint = made(closed_port())
        page = f"/admin/invoices/webhookendpoint/{endpoint.pk}/"
        for user, seen in ((auditor, 200), (agent, 403)):
            client.force_login(user)
            assert client.get(page).status_code == seen
            assert client.post(f"{page}{path}").status_code == 403
            assert client.post("/admin/invoices/webhookendpoint/add/").status_code == 403
        assert WebhookEndpointRecord.objects.count() == 1


class TestTheCommand:
    def run(self, *words: str) -> str:
        told = StringIO()
        call_command("webhook_endpoint", *words, stdout=told)
        return told.getvalue()

    def test_all_that_it_does(self, post_event: Any, receiver: Service, manager: User) -> None:
        told = self.run("create", receiver.url, "--events", "invoice.updated", "--owner", "manager")
        endpoint = WebhookEndpoint.objects.get()
        [secret] = re.findall(r"whsec_\w+", told)
        receiver.secrets = [secret]
        assert endpoint.owner == manager and receiver.url in self.run("list")
        changed(post_event)
        worker.deliver_due()
        assert "evt_1 invoice.updated delivered 200" in self.run("deliveries", endpoint.pk)
        self.run("redeliver", endpoint.pk, "--event", "evt_1")
        worker.deliver_due()
        self.run("redeliver", endpoint.pk, "--since", "2020-01-01T00:00:00")
        worker.deliver_due()
        self.run("test", endpoint.pk)
        worker.deliver_due()
        assert receiver.ids[:3] == ["evt_1"] * 3 and len(receiver.ids) == 4
        assert secret not in self.run("rotate", endpoint.pk, "--overlap-hours", "1")
        self.run("disable", endpoint.pk, "--reason", "moving house")
        assert "disabled moving house" in self.run("list")
        self.run("enable", endpoint.pk)
        assert all("@" in each.shell_user for each in WebhookEndpointRecord.objects.all())
        for words in (["create", "https://10.0.0.1/"], ["enable", "we_x"], ["redeliver", endpoint.pk, "--since", "x"]):
            with pytest.raises(CommandError):
                self.run(*words)


def test_an_erasure_takes_the_customer_out_of_our_events(open_invoice: Any, agent: User, receiver: Service) -> None:
    made(receiver)
    refetch.refetch("customer", open_invoice.customer)
    why = "Example Customer asked for it"
    operations.execute("void", open_invoice.id, actor=agent, source="admin", reason=why)
    assert why in DeskEvent.objects.get().body
    known = personal.Known()
    known.learn({"object": "customer", "name": "Example Customer"})
    assert [erasure._erase_desk_events(open_invoice.customer, known) for _ in range(2)] == [1, 0]
    body = DeskEvent.objects.get().body
    assert "Example" not in body and json.loads(body)["data"]["object"]["invoice"] == open_invoice.id


def test_an_erasure_passes_over_what_is_tidied_up_meanwhile(
    agent: User, receiver: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(receiver)
    for name in ("first", "second"):
        desk_events.tell(Operation(action="void", reason=f"{name} Ada", source="admin", actor=agent, state="refused"))
        emails.write(Email.Kind.APPROVAL, name, name, f"{name} Ada", {"approver@example.com"})
    known = personal.Known()
    known.learn({"object": "customer", "name": "Ada"})
    real = erasure._ids

    def tidied_up_in_between(rows: Any) -> Iterator[Any]:
        found = list(real(rows))
        rows.model.objects.filter(pk=found[0]).delete()
        yield from found

    monkeypatch.setattr(erasure, "_ids", tidied_up_in_between)
    assert (erasure._erase_desk_events("cus_1", known), erasure._erase_emails("cus_1", known)) == (1, 1)
