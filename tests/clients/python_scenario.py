"""python python_scenario.py sync|async: what a service does with Stripe's Python SDK, of any version from 8 on.

Reads from stdin where to ask and for what (tests/clients/test_clients.py); prints what came of each step as JSON. It
runs with the SDK of its environment, and imports nothing of this project.
"""

import asyncio
import json
import sys
from typing import Any

import stripe as sdk

stripe: Any = sdk  # versions differ in what they declare


class Caller:
    """Calls the SDK's methods, or those of the same name with `_async`."""

    def __init__(self, given: dict[str, Any], key: str, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        options: dict[str, Any] = {"base_addresses": {"api": given["address"]}, "stripe_version": given["version"]}
        if asynchronous:
            options["http_client"] = stripe.HTTPXClient()
        client = stripe.StripeClient(key, max_network_retries=0, **options)
        self.client = getattr(client, "v1", client)

    async def call(self, service: Any, name: str, *args: Any) -> Any:
        if self.asynchronous:
            return await getattr(service, f"{name}_async")(*args)
        return getattr(service, name)(*args)

    async def pages(self, service: Any, *args: Any) -> list[Any]:
        return await self.rest(await self.call(service, "list", *args))

    async def rest(self, page: Any) -> list[Any]:
        """This page of a list, and all that follow."""
        found = page.auto_paging_iter()
        return [one async for one in found] if self.asynchronous else list(found)

    async def lines_of(self, id: str) -> list[Any]:
        """By the list inside the invoice, which knows its own address."""
        return await self.rest((await self.call(self.client.invoices, "retrieve", id)).lines)


def plain(found: Any) -> Any:
    if isinstance(found, list):
        return [plain(one) for one in found]
    return json.loads(str(found)) if isinstance(found, stripe.StripeObject) else found


def replayed(found: Any) -> str:
    return str(found.last_response.headers.get("Idempotent-Replayed"))


async def scenario(given: dict[str, Any], asynchronous: bool) -> dict[str, Any]:
    caller, came = Caller(given, given["key"], asynchronous), {}
    invoices = caller.client.invoices
    ids = given["ids"]

    async def step(name: str, asked: Any) -> Any:
        try:
            came[name] = plain(found := await asked)
        except stripe.StripeError as error:
            body = (error.json_body or {}).get("error", {})
            members = ("type", "code", "decline_code", "param", "message")
            came[name] = {"class": type(error).__name__, "status": error.http_status}
            came[name] |= {member: body.get(member) for member in members}
            return None
        return found

    def act(name: str, method: str, *args: Any) -> Any:
        return step(name, caller.call(invoices, method, *args))

    of_customer = {"customer": ids["customer"], "limit": 2}
    found = await step("list, page by page", caller.pages(invoices, of_customer))
    await step("list, backwards", caller.pages(invoices, {**of_customer, "ending_before": found[-1].id}))
    await step("list and expand", caller.pages(invoices, {**of_customer, "expand": ["data.customer"]}))
    await step("list by a range", caller.pages(invoices, {"created": {"gte": 1}, "status": "paid"}))
    await act("retrieve", "retrieve", ids["long"])
    await act("retrieve and expand", "retrieve", ids["paid"], {"expand": ["customer", "payments"]})
    await step("lines, page by page", caller.pages(invoices.line_items, ids["long"], {"limit": 5}))
    charges = caller.client.charges
    found = await step("charges, page by page", caller.pages(charges, {"customer": ids["customer"], "limit": 1}))
    await step("one charge", caller.call(charges, "retrieve", found[0].id))
    await step("lines of the invoice itself", caller.lines_of(ids["long"]))
    came["a signed event"] = plain(stripe.Webhook.construct_event(*given["signed"]))
    if hasattr(caller.client, "invoice_payments"):
        payments = caller.client.invoice_payments
        found = await step("payments", caller.pages(payments, {"invoice": ids["paid"]}))
        await step("one payment", caller.call(payments, "retrieve", found[0].id))

    await act("pay", "pay", ids["pay"])
    await act("pay, declined", "pay", ids["decline"])
    await act("void", "void_invoice", ids["void"])
    await act("mark uncollectible", "mark_uncollectible", ids["uncollectible"])
    await act("finalize", "finalize_invoice", ids["draft"])
    await act("send", "send_invoice", ids["draft"])
    options = {"idempotency_key": given["idempotency_key"]}
    first = await act("pay with a key", "pay", ids["keyed"], {}, options)
    again = await act("the same key again", "pay", ids["keyed"], {}, options)
    came["replayed"] = [replayed(first), replayed(again)]
    await act("the same key, other parameters", "pay", ids["keyed"], {"payment_method": "pm_card_visa"}, options)
    await act("true and false", "finalize_invoice", ids["flag"], {"auto_advance": False})

    await act("an unknown invoice", "retrieve", "in_nope")
    await act("pay an unknown invoice", "pay", "in_nope")
    await act("an unknown parameter", "list", {"nope": 1})
    await act("a wrong value", "list", {"status": "nope"})
    await act("void what is paid", "void_invoice", ids["paid"])
    wrong = Caller(given, given["wrong_key"], asynchronous)
    await step("a wrong key", wrong.call(wrong.client.invoices, "list"))
    if given["reading_key"]:
        reading = Caller(given, given["reading_key"], asynchronous)
        await step("a key that may only read", reading.call(reading.client.invoices, "pay", ids["decline"]))
    return came


if __name__ == "__main__":
    print(json.dumps(asyncio.run(scenario(json.load(sys.stdin), sys.argv[1] == "async"))))
