"""An object of every kind, so that each address leads to something that is there."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.utils import timezone

from invoices import assignments, clock, exports, month_end, operations, promises
from invoices.fanout import signing
from invoices.models import (
    ApiToken,
    Contradiction,
    Delivery,
    Drift,
    Email,
    Event,
    Mention,
    Note,
    NoteVersion,
    Operation,
    Pause,
    ReconciliationRun,
    SavedView,
    ScheduledRefetch,
    SignInRecord,
    WebhookEndpoint,
)
from invoices.operations import batch as batches
from invoices.statements import proposing
from tests import factories
from tests.helpers import bank

MIRRORED_LISTS = ("invoicepayment", "paymentintent", "charge", "creditnote", "refund")
LARGE = 100_000_000  # minor units, above every threshold


def objects_of(me: User, token: ApiToken | None = None) -> dict[str, str]:
    """The id of one of each kind, by the name of its model. What belongs to one person belongs to `me`; what a second
    person decides on was asked for by another one. `token`: with which the own batch was asked for."""
    other = User.objects.create_superuser("other", "other@example.com", "a long enough password")
    found = _mirrored()
    invoice = found["invoice"]
    found |= _journal(invoice, other) | _own(me, token)
    found |= _of_people(invoice, me, other)
    statement_line, *_rest = bank.credits_of(bank.line(1000, "Thanks", currency="usd"))
    proposing.propose_due()
    closing = month_end.close(month_end.Month.last("UTC"), by=other, seen=0, reason="asked")
    found |= {
        "banktransaction": str(statement_line.pk),
        "bankstatement": str(statement_line.statement_id),
        "monthclose": str(closing.pk),
    }
    return found


def _mirrored() -> dict[str, str]:
    customer = factories.stored(factories.CustomerObject()).pk
    invoice = factories.stored(factories.InvoiceObject(customer=customer)).pk
    intent = factories.stored(factories.PaymentIntentObject()).pk
    payment = {"type": "payment_intent", "payment_intent": intent}
    charge = factories.stored(factories.ChargeObject(payment_intent=intent, customer=customer)).pk
    body = json.dumps({"id": "evt_1", "object": "event", "data": {"object": {"id": invoice, "object": "invoice"}}})
    event = Event.objects.create(id="evt_1", type="invoice.updated", body=body, state=Event.State.FAILED)
    return {
        "customer": customer,
        "invoice": invoice,
        "paymentintent": intent,
        "invoicepayment": factories.stored(factories.InvoicePaymentObject(invoice=invoice, payment=payment)).pk,
        "charge": charge,
        "creditnote": factories.stored(factories.CreditNoteObject(invoice=invoice, customer=customer)).pk,
        "refund": factories.stored(factories.RefundObject(charge=charge, payment_intent=intent)).pk,
        "event": event.pk,
    }


def _journal(invoice: str, other: User) -> dict[str, str]:
    given: dict[str, Any] = {"actor": other, "reason": "a wrong invoice"}
    large = [factories.stored(factories.InvoiceObject(amount_due=LARGE, amount_remaining=LARGE)) for _ in range(2)]
    operation = operations.request("void", large[0].pk, source="admin", **given)
    batch = batches.start("void", large[1:], batch_id=uuid.uuid4(), **given)
    assert operation.state == Operation.State.AWAITING_APPROVAL and batch.awaiting_approval
    contradiction = Contradiction.objects.create(operation=operation, event_id="evt_1", message="Stripe says void.")
    run = ReconciliationRun.objects.create(kind=ReconciliationRun.Kind.SWEEP, state=ReconciliationRun.State.FINISHED)
    drift = Drift.objects.create(
        run=run, kind=Drift.Kind.MISSING_HERE, object_type="invoice", object_id=invoice, invoice=invoice
    )
    refetch = ScheduledRefetch.objects.create(
        object_type="invoice", object_id="in_gone", asked_at=clock.now(), due_at=clock.now(), given_up_at=clock.now()
    )
    pause = Pause.objects.create(action="send", reason="an audit", paused_by=other)
    return {
        "operation": str(operation.pk),
        "batch": str(batch.pk),
        "contradiction": str(contradiction.pk),
        "reconciliationrun": str(run.pk),
        "drift": str(drift.pk),
        "scheduledrefetch": str(refetch.pk),
        "pause": str(pause.pk),
    }


def _own(me: User, token: ApiToken | None) -> dict[str, str]:
    """A request and a batch of this person's, asked for while she still might."""
    asker = User.objects.get(pk=me.pk)
    asker.is_superuser = True  # of this object alone
    given: dict[str, Any] = {"actor": asker, "reason": "a wrong invoice"}
    invoices = [factories.stored(factories.InvoiceObject(amount_due=LARGE, amount_remaining=LARGE)) for _ in range(2)]
    operation = operations.request("void", invoices[0].pk, source="admin", **given)
    batch = batches.start("void", invoices[1:], batch_id=uuid.uuid4(), token=token, **given)
    return {"own operation": str(operation.pk), "own batch": str(batch.pk)}


def _of_people(invoice: str, me: User, other: User) -> dict[str, str]:
    note = Note.objects.create(invoice=invoice, author=me)
    version = NoteVersion.objects.create(note=note, number=1, text=f"@{me.username} look")
    promise = promises.record(invoice, amount="5", day=f"{timezone.localdate() + timedelta(days=3)}", by=other)
    assignments.give(invoice, "other", by=other, seen=None)
    mention = Mention.objects.create(note=note, version=version, person=me)
    lists = ("invoice", "customer", "operation", *MIRRORED_LISTS, "signinrecord")
    views = {list: SavedView.objects.create(list=list, name="All", query="", owner=me) for list in lists}
    export = exports.ask(me, "list.invoice", {}, format="csv", title="Invoices", file_name="invoices.csv")
    token, _key = ApiToken.objects.create(user=other, name="billing", created_by=other)
    endpoint = WebhookEndpoint.objects.create(
        url="https://service.example.com/hook", enabled_events=["*"], secret=signing.encrypted(signing.new_secret())
    )
    delivery = Delivery.objects.create(endpoint=endpoint, event="evt_1", type="invoice.updated")
    email = Email.objects.create(kind=Email.Kind.RECONCILIATION, about="1", subject="Drift", recipient="a@example.com")
    return {
        "note": str(note.pk),
        "promise": str(promise.pk),
        "mention": str(mention.pk),
        **{f"view of {list}": str(view.pk) for list, view in views.items()},
        "export": str(export.pk),
        "apitoken": str(token.pk),
        "webhookendpoint": endpoint.pk,
        "delivery": str(delivery.pk),
        "email": str(email.pk),
        "signinrecord": str(SignInRecord.objects.latest("pk").pk),
        "user": str(User.objects.create_user("newcomer").pk),
        "group": str(Group.objects.create(name="Readers of a report").pk),
    }
