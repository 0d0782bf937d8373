"""python tests/helpers/whole_desk.py: everything that the desk does, once, in a process of its own, by its environment.

For tests that ask whether the desk works as a certain database role, or in the code of one version on the tables of
another. It uses only what every version has. Ends with 0, or with the first thing that did not work.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")


def main() -> None:
    import django

    django.setup()

    import stripe
    from django.conf import settings
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command
    from django.test import Client

    from invoices import gateway, tasks
    from invoices.models import Event, Operation

    settings.ALLOWED_HOSTS = ["testserver"]
    at_stripe: Any = stripe.StripeClient(settings.STRIPE_SECRET_KEY, base_addresses={"api": settings.STRIPE_API_BASE})
    run = uuid.uuid4().hex[:8]

    def new_invoice(amount: int) -> str:
        customer = at_stripe.v1.customers.create({"name": "Ada", "email": "ada@example.com"})
        card = at_stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        at_stripe.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
        invoice = at_stripe.v1.invoices.create({"customer": customer.id, "auto_advance": False, "currency": "usd"})
        item = {"customer": customer.id, "invoice": invoice.id, "amount": amount, "currency": "usd"}
        at_stripe.v1.invoice_items.create(item)
        return at_stripe.v1.invoices.finalize_invoice(invoice.id).id

    def command(*words: str, ends: tuple[int, ...] = (0,)) -> None:
        try:
            call_command(*words)
        except SystemExit as ended:
            assert (ended.code or 0) in ends, f"{words}: exit {ended.code}"

    # People, and their pages.
    agent = User.objects.create_user(f"agent-{run}", password=uuid.uuid4().hex, is_staff=True)
    agent.groups.add(Group.objects.get(name="Support agent"))
    manager = User.objects.create_superuser(f"manager-{run}", "manager@example.com", uuid.uuid4().hex)

    # The import, webhooks, and all tasks.
    first = new_invoice(1000)
    command("reconcile", "--full")
    second = new_invoice(2000)
    web = Client()
    for event in reversed(list(gateway.walk("/v1/events"))):
        body = json.dumps(event).encode()
        signed = {"Stripe-Signature": _signature(body, settings.STRIPE_WEBHOOK_SECRETS[0])}
        answer = web.post("/webhooks/stripe", body, content_type="application/json", headers=signed)
        assert answer.status_code == 200, answer.content
    tasks.process_events()
    assert not Event.objects.filter(state__in=["pending", "failed"]).exists()
    for task in (tasks.catch_up, tasks.perform_refetches, tasks.settle_operations, tasks.run_batches):
        task()
    for task in (tasks.chain_journal, tasks.tend_queues, tasks.make_partitions, tasks.announce_requests):
        task()

    # Actions: by the API, in the admin, by command.
    web.force_login(manager, backend=settings.AUTHENTICATION_BACKENDS[0])
    for page in ("/admin/", "/admin/invoices/invoice/", f"/admin/invoices/invoice/{first}/change/",
                 "/admin/invoices/operation/", "/admin/invoices/event/", "/readyz", "/metrics"):  # fmt: skip
        answer = web.get(page, follow=True)
        assert answer.status_code in (200, 503), (page, answer.status_code)
    key = _token(manager)
    asked = {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid.uuid4().hex}
    for _ in range(2):
        answer = Client().post(f"/v1/invoices/{first}/pay", {}, content_type="application/json", headers=asked)
        assert answer.status_code == 200 and answer.json()["status"] == "paid", answer.content
    assert Client().get("/v1/invoices?status=paid", headers=asked).json()["data"]
    command("perform", "pay", second, "--reason", "by hand", "--as", agent.username)
    assert Operation.objects.filter(invoice=second).get().state == "succeeded"

    # The mirror is equal, and the journal holds.
    tasks.process_events()
    command("reconcile", "--full", ends=(0, 3))  # no webhook told of the payments
    tasks.chain_journal()
    command("reconcile", "--verify")
    # Triggers that a later version made in another form are named, and the chain holds all the same.
    command("journal", "verify", ends=(0, 3) if os.environ.get("LATER_TABLES") else (0,))
    print("The whole desk works.")


def _signature(body: bytes, secret: str) -> str:
    import hashlib
    import hmac
    import time

    now = int(time.time())
    return f"t={now},v1={hmac.new(secret.encode(), f'{now}.'.encode() + body, hashlib.sha256).hexdigest()}"


def _token(user: Any) -> str:
    from datetime import timedelta
    from inspect import signature

    from invoices import tokens
    from invoices.request_origin import Origin

    origin = Origin(address="127.0.0.1", request_id="whole-desk")  # type: ignore[typeddict-item,unused-ignore]
    given: dict[str, Any] = {"name": "a service", "lifetime": timedelta(hours=1), "origin": origin}
    if "scopes" in signature(tokens.make).parameters:
        given["scopes"] = ["read", "actions"]
    else:  # the version before
        given["read_only"] = False
    return tokens.make(user, user, **given)[1]


if __name__ == "__main__":
    main()
