"""What can become of a planted invoice, how often, and of whose."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from sandbox import shapes
from sandbox.seed_invoices import DAY, PLANS, Planted
from sandbox.store import HIDDEN, Obj

GOOD: AbstractSet[str | None] = {"visa", "mastercard", "amex", "visa_debit"}
DECLINING: AbstractSet[str | None] = {"chargeCustomerFail"}


def draft(one: Planted) -> None:
    one.items(one.dice.randrange(1, 4))


def opened(one: Planted) -> None:
    one.items(one.dice.choice((1, 1, 1, 2, 2, 4)))
    one.finalize()


def paid(one: Planted) -> None:
    opened(one)
    one.pay()


def sent(one: Planted) -> None:
    one.items(one.dice.choice((1, 1, 1, 2, 2, 4)))
    one.send(days=int((one.now - one.at) / DAY) + 14)
    one.finalize()


def overdue(one: Planted) -> None:
    one.items(one.dice.choice((1, 1, 1, 2, 2, 4)))
    one.send(days=0 if one.now - one.at < 8 * DAY else 7)
    one.finalize()


def declined(one: Planted) -> None:
    opened(one)
    one.decline()


def partly_paid(one: Planted) -> None:
    sent(one)
    one.record(one.invoice["amount_due"] // 3)


def out_of_band(one: Planted) -> None:
    sent(one)
    one.out_of_band()


def voided(one: Planted) -> None:
    opened(one)
    one.end("void", "voided_at")


def uncollectible(one: Planted) -> None:
    opened(one)
    one.end("uncollectible", "marked_uncollectible_at")


def long_one(one: Planted) -> None:
    one.items(one.dice.randrange(11, 31))
    one.finalize()


def long_paid(one: Planted) -> None:
    long_one(one)
    one.pay()


def subscribed(one: Planted) -> None:
    one.subscription(subscription_of(one), "subscription_cycle")
    one.finalize()
    one.pay()


def first_of_subscription(one: Planted) -> None:
    one.subscription(subscription_of(one), "subscription_create")
    one.finalize()
    one.pay()


def subscription_declined(one: Planted) -> None:
    one.subscription(subscription_of(one), "subscription_cycle")
    one.finalize()
    one.decline()


def subscription_of(one: Planted) -> Obj:
    """One per customer, made when it is first needed."""
    hidden = one.customer[HIDDEN]
    if "subscription" not in hidden:
        name, amount = one.dice.choice(PLANS)
        product = shapes.product(one.at, name)
        price = shapes.price(one.at, product["id"], one.invoice["currency"], amount, "month")
        made = shapes.subscription(one.at, one.customer["id"], [(price, 1)])
        for kind, obj in (("product", product), ("price", price), ("subscription", made)):
            one.rows[kind].append(obj)
        made[HIDDEN] = {"plan": name}
        hidden["subscription"] = made
    subscription: Obj = hidden["subscription"]
    return subscription


def nothing_due(one: Planted) -> None:
    one.fill([])
    one.finalize()
    for kind in ("payment_intent", "invoice_payment"):
        one.rows[kind].pop()
    one.invoice["attempted"] = True
    one.close(one.finalized_at)


Story = tuple[AbstractSet[str | None] | None, Callable[[Planted], None]]
STORIES: dict[str, Story] = {
    "paid": (GOOD, paid),
    "open": (None, opened),
    "declined": (DECLINING, declined),
    "overdue": (None, overdue),
    "partly paid": (None, partly_paid),
    "void": (None, voided),
    "uncollectible": (None, uncollectible),
    "draft": (None, draft),
    "sent": (None, sent),
    "out of band": (None, out_of_band),
    "long": (None, long_one),
    "subscription": (GOOD, subscribed),
    "first of a subscription": (GOOD, first_of_subscription),
    "subscription declined": (DECLINING, subscription_declined),
    "open without a card": ({None}, opened),
    "open with authentication": ({"threeDSecure2Required"}, opened),
    "long and paid": (GOOD, long_paid),
    "nothing due": (None, nothing_due),
}
WEIGHTS = dict.fromkeys(STORIES, 2) | {
    "paid": 45,
    "open": 8,
    "declined": 6,
    "overdue": 6,
    "sent": 6,
    "draft": 6,
    "subscription": 15,
    "nothing due": 0.3,
    "long": 0.7,
    "long and paid": 0.7,
}
