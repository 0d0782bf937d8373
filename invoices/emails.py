"""The one place that sends e-mails: rows written with what they tell, claimed with a lease, marked after the sending.

A process that dies loses none: its claim lapses, and another one sends. One that dies between the sending and the
marking has the e-mail sent a second time, under the same Message-ID, by which mail programs know it as the same. So an
e-mail is sent at least once, and never by two workers at the same time unless one was silent for MAIL_LEASE.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from email.utils import format_datetime
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPResponseException

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Count, Min, Q

from invoices import clock
from invoices.models import Email
from invoices.models.reading import one_line, storable, without_secrets
from invoices.thresholds import EMAIL_GIVEN_UP, EMAIL_KEPT, FIRST_EMAIL_RETRY, LAST_EMAIL_RETRY, MAIL_LEASE

log = logging.getLogger(__name__)

State = Email.State
STATES = {  # as people see them: a waiting e-mail that has failed is another one for them
    "given_up": Q(state=State.GIVEN_UP),
    "failing": Q(state=State.WAITING, failing_since__isnull=False),
    "waiting": Q(state=State.WAITING, failing_since=None),
    "sent": Q(state=State.SENT),
}
MOST_LOOKED_AT = 100_000  # rows: more of them wait only where mail has failed for days
EMAILS_AT_ONCE = 100  # in one round; the next one begins a few seconds later
CANDIDATES = 10  # looked at for each that is taken: other workers may be faster

_lane = threading.Lock()  # of this process: a mail server that hangs holds one thread, and not each that beat starts


# --- writing ----------------------------------------------------------------------------------------------------------


def write(kind: str, about: object, subject: str, body: str, recipients: Iterable[str]) -> int:
    """Writes one e-mail for each address; how many. Call it in the transaction that records why it is due.

    The subject becomes one line: an invoice's number may have any character.
    """
    subject = " ".join(one_line(storable(subject, 255)).split())
    rows = [
        Email(
            kind=kind, about=str(about), recipient=storable(each, 512), subject=subject, body=storable(body, len(body))
        )
        for each in sorted(set(recipients) - {""})
    ]
    Email.objects.bulk_create(rows)
    return len(rows)


# --- sending ----------------------------------------------------------------------------------------------------------


def send_due() -> int:
    """Sends what is due, the longest waiting first; how many were sent. Returns at once where another thread of this
    process sends. Ends early where the mail server does not answer, because the rest would only wait for it too."""
    if not _lane.acquire(blocking=False):
        return 0
    try:
        sent = 0
        for _ in range(EMAILS_AT_ONCE):
            email = _take()
            if email is None:
                break
            try:
                if _message(email).send() == 0:
                    raise ValueError("nothing was sent, because there is no address")
            except Exception as error:
                if not _failed(email, error):
                    break
            else:
                sent += 1
                # Whoever holds the claim by now: it was sent.
                Email.objects.filter(pk=email.pk).update(state=State.SENT, body="", error="", ended_at=clock.now())
        return sent
    finally:
        _lane.release()


def _take() -> Email | None:
    """Claims the next one that is due, for MAIL_LEASE."""
    now = clock.now()
    due = Email.objects.filter(state=State.WAITING, next_attempt_at__lte=now).order_by("next_attempt_at")
    for pk, next_attempt_at in due.values_list("pk", "next_attempt_at")[:CANDIDATES]:
        # Conditional on the moment: another worker that was faster has postponed it.
        mine = Email.objects.filter(pk=pk, state=State.WAITING, next_attempt_at=next_attempt_at)
        if mine.update(token=uuid.uuid4(), next_attempt_at=now + MAIL_LEASE):
            return Email.objects.get(pk=pk)
    return None


def _message(email: Email) -> EmailMessage:
    """The same Message-ID and date in each attempt."""
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip("> ") or "localhost"
    headers = {
        "Message-ID": f"<{email.pk}@{host}>",
        "Date": format_datetime(email.written_at),
        "Auto-Submitted": "auto-generated",  # so that nobody's absence answers it
    }
    return EmailMessage(email.subject, email.body, settings.DEFAULT_FROM_EMAIL, [email.recipient], headers=headers)


def _failed(email: Email, error: Exception) -> bool:
    """Postpones it, or gives it up. Whether the round may go on with the others: the fault is this e-mail's own."""
    is_permanent, is_its_own = _judge(error)
    now, since = clock.now(), email.failing_since
    given_up = is_permanent or (since is not None and now - since >= EMAIL_GIVEN_UP)
    wait = min(FIRST_EMAIL_RETRY * 2 ** min(email.attempts, 20), LAST_EMAIL_RETRY)
    said = without_secrets(storable(f"{type(error).__name__}: {error}", 2000))
    Email.objects.filter(pk=email.pk, token=email.token, state=State.WAITING).update(
        state=State.GIVEN_UP if given_up else State.WAITING,
        attempts=email.attempts + 1,
        failing_since=since or now,
        error=said,
        next_attempt_at=now + wait,
        ended_at=now if given_up else None,
    )
    # The address stays out of the log: the row has it.
    level, then = (logging.ERROR, "It was given up.") if given_up else (logging.WARNING, f"Again in {wait}.")
    log.log(level, "E-mail %s (%s) was not sent: %s. %s", email.pk, email.kind, type(error).__name__, then)
    return is_its_own


def _judge(error: Exception) -> tuple[bool, bool]:
    """Whether another attempt would be of no use; and whether the error is about this e-mail and not about the server.

    A mail server refuses for ever with 5xx. What cannot be written as a message, such as an address with a line break,
    never can.
    """
    if isinstance(error, SMTPRecipientsRefused):
        return all(_is_for_ever(code) for code, _ in error.recipients.values()), True
    if isinstance(error, SMTPDataError):
        return _is_for_ever(error.smtp_code), True
    if isinstance(error, (SMTPResponseException, OSError)):  # the sender or the password was refused, or nobody answers
        return False, False
    return isinstance(error, (ValueError, TypeError)), True


def _is_for_ever(code: int) -> bool:
    return 500 <= code < 600


# --- afterwards -------------------------------------------------------------------------------------------------------


def try_again(ids: Collection[uuid.UUID] | None = None) -> int:
    """Has those sent that were given up, or these of them; how many."""
    given_up = Email.objects.filter(state=State.GIVEN_UP)
    if ids is not None:
        given_up = given_up.filter(pk__in=ids)
    return given_up.update(
        state=State.WAITING, next_attempt_at=clock.now(), attempts=0, failing_since=None, ended_at=None
    )


def remove_old() -> int:
    """Removes what ended longer ago than EMAIL_KEPT; how many."""
    return Email.objects.filter(ended_at__lt=clock.now() - EMAIL_KEPT).delete()[0]


def counts() -> Counter[str]:
    """How many are `waiting` for their first attempt, `failing` and tried again, and `given_up`."""
    found = Email.objects.filter(state=State.WAITING).aggregate(
        waiting=Count("pk", filter=STATES["waiting"]), failing=Count("pk", filter=STATES["failing"])
    )
    return Counter({**found, "given_up": Email.objects.filter(STATES["given_up"]).count()})


def oldest_waiting() -> datetime | None:
    """When the e-mail was written that has been waiting for the longest."""
    waiting = Email.objects.filter(state=State.WAITING).order_by()[:MOST_LOOKED_AT]
    return waiting.aggregate(at=Min("written_at"))["at"]
