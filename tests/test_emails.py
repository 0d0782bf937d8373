"""E-mails: written with what they tell, claimed with a lease, sent at least once, and never one for another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from invoices import clock, emails, tasks
from invoices.health import gauges
from invoices.models import Email, Operation
from invoices.operations import decisions
from invoices.thresholds import EMAIL_GIVEN_UP, EMAIL_KEPT, FIRST_EMAIL_RETRY, MAIL_LEASE
from tests.factories import user_in_group
from tests.helpers.database import url_of_database
from tests.helpers.smtp import MailServer
from tests.sandbox_process import ROOT

pytestmark = pytest.mark.django_db
State = Email.State
PATIENCE = 60  # seconds, on a busy machine
SENDER = "import django; django.setup(); from invoices import emails; print(emails.send_due())"


def owed(*recipients: str, subject: str = "Something", body: str = "It happened.") -> list[Email]:
    emails.write(Email.Kind.RECONCILIATION, 1, subject, body, recipients or ("a@example.com",))
    return list(Email.objects.order_by("recipient"))


def of(recipient: str) -> Email:
    return Email.objects.get(recipient=recipient)


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with MailServer() as serving:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", serving.port
        yield serving
        serving.goes_on.set()
        serving.shutdown()


class TestWriting:
    def test_a_line_break_in_the_number_is_none_in_the_subject(self, server: MailServer) -> None:
        owed(subject="Approval needed: A-1\r\nBcc: x@example.com\u2028\x00\x1b[31m \ud800", body="A\x00\ud800")
        assert emails.send_due() == 1
        [taken] = server.taken
        assert taken["Bcc"] is None and Email.objects.get().subject == "Approval needed: A-1 Bcc: x@example.com [31m ?"

    def test_one_for_each_address(self) -> None:
        assert len(owed("b@example.com", "a@example.com", "a@example.com")) == 2
        emails.send_due()
        assert sorted(sent.to[0] for sent in mail.outbox) == ["a@example.com", "b@example.com"]

    @pytest.mark.django_db(transaction=True)
    def test_it_is_written_in_the_transaction_that_says_so(self, manager: User, monkeypatch: Any) -> None:
        agent = user_in_group("agent", "Support agent")
        operation = Operation.objects.create(
            action="void", invoice="in_1", source="admin", actor=agent, currency="usd", state="awaiting_approval"
        )
        bulk_create = Email.objects.bulk_create
        monkeypatch.setattr(Email.objects, "bulk_create", lambda rows: bulk_create(rows) and 1 / 0)
        assert decisions.announce() == 0 and not Email.objects.exists()
        assert Operation.objects.get().announced_at is None
        monkeypatch.undo()
        assert [decisions.announce() for _ in range(2)] == [1, 0]
        assert of(manager.email).about == str(operation.pk)


class TestSending:
    def test_sent_once_and_its_text_goes(self, server: MailServer) -> None:
        [email] = owed(body="Ann asked for it")
        assert [emails.send_due() for _ in range(2)] == [1, 0]
        email.refresh_from_db()
        assert (email.state, email.body) == (State.SENT, "") and email.ended_at
        [taken] = server.taken
        assert taken["Message-ID"] == f"<{email.pk}@localhost>" and taken["Auto-Submitted"] == "auto-generated"
        assert "Ann asked" in str(taken.get_payload())

    @pytest.mark.parametrize("recipient", ["bad\r\naddress@example.com", "", "@", "no address", "ä@" + "x" * 300])
    def test_one_bad_address_blocks_no_other(self, server: MailServer, recipient: str) -> None:
        Email.objects.create(kind="approval", about="1", recipient=recipient, subject="s", body="b")
        owed("z@example.com")
        for _ in range(2):  # where the server itself is at fault, a round ends, and the next one goes on
            emails.send_due()
        assert of("z@example.com").state == State.SENT
        bad = of(recipient)
        assert bad.error or bad.state == State.SENT  # the server may take what only looks wrong
        assert recipient or bad.state == State.GIVEN_UP

    def test_who_is_refused_for_ever_is_given_up_and_the_others_are_told(self, server: MailServer) -> None:
        server.refused = {"gone@": "550 No such person", "full@": "452 Try later"}
        owed("a@example.com", "full@example.com", "gone@example.com", "z@example.com")
        assert emails.send_due() == 2
        assert of("gone@example.com").state == State.GIVEN_UP and "No such person" in of("gone@example.com").error
        full = of("full@example.com")
        assert full.state == State.WAITING and full.next_attempt_at > clock.now() + FIRST_EMAIL_RETRY / 2
        server.refused = {}
        assert emails.try_again([of("gone@example.com").pk]) == 1 and emails.send_due() == 1

    def test_a_server_that_is_away_delays_all_and_loses_none(
        self, settings: Any, later: Callable[[float], None], server: MailServer
    ) -> None:
        settings.EMAIL_PORT = 9
        owed("a@example.com", "b@example.com")
        assert emails.send_due() == 0
        assert sorted(Email.objects.values_list("attempts", flat=True)) == [0, 1]  # one attempt a round
        settings.EMAIL_PORT = server.port
        later(FIRST_EMAIL_RETRY.total_seconds() + 1)
        assert emails.send_due() == 2

    def test_it_is_given_up_in_the_end_and_removed_later(self, later: Callable[[float], None], settings: Any) -> None:
        settings.EMAIL_BACKEND = "no.such.Backend"
        owed()
        emails.send_due()
        assert emails.counts() == {"waiting": 0, "failing": 1, "given_up": 0}
        later(EMAIL_GIVEN_UP.total_seconds() + 1)
        emails.send_due()
        assert emails.counts()["given_up"] == 1
        assert emails.remove_old() == 0
        later((EMAIL_GIVEN_UP + EMAIL_KEPT).total_seconds() + 10)
        tasks.tend_queues()
        assert not Email.objects.exists()

    @pytest.mark.parametrize(
        ("error", "permanent", "its_own"),
        [
            (SMTPRecipientsRefused({"a": (550, b"no")}), True, True),
            (SMTPRecipientsRefused({"a": (450, b"later")}), False, True),
            (SMTPDataError(554, b"spam"), True, True),
            (SMTPDataError(451, b"later"), False, True),
            (SMTPServerDisconnected("gone"), False, False),
            (TimeoutError(), False, False),
            (ValueError("a header"), True, True),
            (RuntimeError("ours"), False, True),
        ],
    )
    def test_what_an_error_means(self, error: Exception, permanent: bool, its_own: bool) -> None:
        assert emails._judge(error) == (permanent, its_own)

    def test_an_error_keeps_no_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(message: Any) -> int:
            raise SMTPDataError(554, b"sk_test_" + b"x" * 20)

        monkeypatch.setattr(mail.EmailMessage, "send", fail)
        owed()
        emails.send_due()
        assert "sk_test_x" not in Email.objects.get().error


class TestTwoSenders:
    def test_one_that_sends_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        send = mail.EmailMessage.send

        def meanwhile_another(message: Any) -> int:
            assert emails._take() is None  # of another process: this one's lane is taken anyway
            assert emails.send_due() == 0
            return send(message)

        monkeypatch.setattr(mail.EmailMessage, "send", meanwhile_another)
        owed()
        assert emails.send_due() == 1 and len(mail.outbox) == 1

    def test_one_that_was_silent_too_long_does_not_undo_what_the_other_did(
        self, later: Callable[[float], None]
    ) -> None:
        owed()
        slow = emails._take()
        assert slow and emails.send_due() == 0
        later(MAIL_LEASE.total_seconds() + 1)
        assert emails.send_due() == 1
        emails._failed(slow, TimeoutError())
        assert Email.objects.get().state == State.SENT

    @pytest.mark.django_db(transaction=True)
    def test_killed_between_the_sending_and_the_marking(
        self, server: MailServer, later: Callable[[float], None], tmp_path: Path
    ) -> None:
        """kill -9 when the mail server has the message and has not said so. It is sent again, with the same id."""
        owed()
        server.hold.set()
        environment = {
            **os.environ,
            "DATABASE_URL": url_of_database(),
            "DATA_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
            "DJANGO_EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "DJANGO_EMAIL_HOST": "127.0.0.1",
            "DJANGO_EMAIL_PORT": str(server.port),
        }
        sender = subprocess.Popen([sys.executable, "-c", SENDER], cwd=ROOT, env=environment)
        try:
            assert server.has_taken.wait(PATIENCE)
        finally:
            sender.kill()
            sender.wait(PATIENCE)
        server.hold.clear()
        server.goes_on.set()
        assert Email.objects.get().state == State.WAITING
        assert emails.send_due() == 0  # it may be sending yet
        later(MAIL_LEASE.total_seconds() + 1)
        assert emails.send_due() == 1
        first, second = server.ids()
        assert first == second and server.taken[0]["Date"] == server.taken[1]["Date"]


class TestWhatPeopleSee:
    def test_home_the_list_and_the_gauges(self, client: Client) -> None:
        [email] = owed(subject="Reconciliation <b>failed</b>")
        Email.objects.update(state=State.GIVEN_UP, error="550 No", ended_at=clock.now(), failing_since=clock.now())
        client.force_login(user_in_group("boss", "Billing manager"))
        assert "E-mails not sent" in client.get("/admin/health/").content.decode()
        page = client.get("/admin/invoices/email/?state=given_up").content.decode()
        assert "&lt;b&gt;failed" in page and "550 No" in page
        assert client.get(f"/admin/invoices/email/{email.pk}/").status_code == 200
        client.post("/admin/invoices/email/", {"action": "try_again", "_selected_action": [str(email.pk)]})
        assert Email.objects.get().state == State.WAITING
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for gauge in gauges.waiting_work()
            for sample in gauge.samples
        }
        assert values["invoice_desk_emails", "waiting"] == 1 and values["invoice_desk_emails", "given_up"] == 0

    @pytest.mark.parametrize(("group", "status"), [("Support agent", 403), ("Auditor", 200)])
    def test_who_sees_the_list(self, client: Client, group: str, status: int) -> None:
        client.force_login(user_in_group("somebody", group))
        assert client.get("/admin/invoices/email/").status_code == status
        owed()
        answer = client.post(
            "/admin/invoices/email/", {"action": "try_again", "_selected_action": [str(Email.objects.get().pk)]}
        )
        assert answer.status_code in (200, 302, 403) and Email.objects.get().attempts == 0


def test_nothing_else_sends() -> None:
    """One place, so that none is lost and one bad e-mail blocks no other."""
    senders = [
        str(path.relative_to(ROOT))
        for folder in ("invoices", "backoffice")
        for path in (ROOT / folder).rglob("*.py")
        if "django.core.mail import" in path.read_text() or "smtplib.SMTP(" in path.read_text()
    ]
    assert senders == ["invoices/emails.py"]


def test_the_lease_is_longer_than_any_sending_in_good_order(settings: Any) -> None:
    assert timedelta(seconds=settings.EMAIL_TIMEOUT * 10) < MAIL_LEASE
