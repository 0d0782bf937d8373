"""The stories of planted invoices: what becomes of each, how often, and with which card of its customer."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from sandbox import shapes
from sandbox.seed_invoices import DAY_SECONDS, PLANS, PlantedInvoice
from sandbox.store import HIDDEN, StripeObject

WORKING_CARDS: AbstractSet[str | None] = {"visa", "mastercard", "amex", "visa_debit"}
DECLINING_CARDS: AbstractSet[str | None] = {"chargeCustomerFail"}


def draft(planted: PlantedInvoice) -> None:
    planted.add_items(planted.dice.randrange(1, 4))


def open_invoice(planted: PlantedInvoice) -> None:
    planted.add_items(planted.dice.choice((1, 1, 1, 2, 2, 4)))
    planted.finalize()


def paid(planted: PlantedInvoice) -> None:
    open_invoice(planted)
    planted.pay()


def refunded(planted: PlantedInvoice) -> None:
    paid(planted)
    due = planted.invoice["amount_due"]
    planted.refund(planted.dice.choice((due, due // 30 * 10)))  # all, or a third, in amounts that every currency has


def credited(planted: PlantedInvoice) -> None:
    planted.add_items(2)
    planted.finalize()
    planted.pay()
    planted.credit(planted.invoice["lines"]["data"][0], refunds=True)


def reduced(planted: PlantedInvoice) -> None:
    planted.add_items(2)
    planted.finalize()
    planted.credit(planted.invoice["lines"]["data"][0], refunds=False)


def sent(planted: PlantedInvoice) -> None:
    planted.add_items(planted.dice.choice((1, 1, 1, 2, 2, 4)))
    planted.set_due_in(days=int((planted.now - planted.at) / DAY_SECONDS) + 14)
    planted.finalize()


def overdue(planted: PlantedInvoice) -> None:
    planted.add_items(planted.dice.choice((1, 1, 1, 2, 2, 4)))
    planted.set_due_in(days=0 if planted.now - planted.at < 8 * DAY_SECONDS else 7)
    planted.finalize()


def declined(planted: PlantedInvoice) -> None:
    open_invoice(planted)
    planted.decline()


def partly_paid(planted: PlantedInvoice) -> None:
    sent(planted)
    planted.pay_part(planted.invoice["amount_due"] // 30 * 10)  # a third, in amounts that every currency has


def out_of_band(planted: PlantedInvoice) -> None:
    sent(planted)
    planted.pay_out_of_band()


def voided(planted: PlantedInvoice) -> None:
    open_invoice(planted)
    planted.end("void", "voided_at")


def uncollectible(planted: PlantedInvoice) -> None:
    open_invoice(planted)
    planted.end("uncollectible", "marked_uncollectible_at")


def long_invoice(planted: PlantedInvoice) -> None:
    planted.add_items(planted.dice.randrange(11, 31))
    planted.finalize()


def long_paid(planted: PlantedInvoice) -> None:
    long_invoice(planted)
    planted.pay()


def subscribed(planted: PlantedInvoice) -> None:
    planted.bill_subscription(subscription_of(planted), "subscription_cycle")
    planted.finalize()
    planted.pay()


def first_of_subscription(planted: PlantedInvoice) -> None:
    planted.bill_subscription(subscription_of(planted), "subscription_create")
    planted.finalize()
    planted.pay()


def subscription_declined(planted: PlantedInvoice) -> None:
    planted.bill_subscription(subscription_of(planted), "subscription_cycle")
    planted.finalize()
    planted.decline()


def subscription_of(planted: PlantedInvoice) -> StripeObject:
    """The customer's one subscription, created when it is first needed."""
    hidden = planted.customer[HIDDEN]
    if "subscription" not in hidden:
        name, amount = planted.dice.choice(PLANS)
        product = shapes.product(planted.at, name)
        price = shapes.price(planted.at, product["id"], planted.invoice["currency"], amount, "month")
        made = shapes.subscription(planted.at, planted.customer["id"], [(price, 1)])
        for kind, obj in (("product", product), ("price", price), ("subscription", made)):
            planted.rows[kind].append(obj)
        made[HIDDEN] = {"plan": name}
        hidden["subscription"] = made
    subscription: StripeObject = hidden["subscription"]
    return subscription


def nothing_due(planted: PlantedInvoice) -> None:
    planted.set_lines_and_totals([])
    planted.finalize()
    for kind in ("payment_intent", "invoice_payment"):
        planted.rows[kind].pop()
    planted.invoice["attempted"] = True
    planted.close_as_paid(planted.finalized_at)


# The cards that the customer may have (None: any), and what builds the invoice.
Story = tuple[AbstractSet[str | None] | None, Callable[[PlantedInvoice], None]]
STORIES: dict[str, Story] = {
    "paid": (WORKING_CARDS, paid),
    "open": (None, open_invoice),
    "refunded": (WORKING_CARDS, refunded),
    "credited": (WORKING_CARDS, credited),
    "reduced": (None, reduced),
    "declined": (DECLINING_CARDS, declined),
    "overdue": (None, overdue),
    "partly paid": (None, partly_paid),
    "void": (None, voided),
    "uncollectible": (None, uncollectible),
    "draft": (None, draft),
    "sent": (None, sent),
    "out of band": (None, out_of_band),
    "long": (None, long_invoice),
    "subscription": (WORKING_CARDS, subscribed),
    "first of a subscription": (WORKING_CARDS, first_of_subscription),
    "subscription declined": (DECLINING_CARDS, subscription_declined),
    "open without a card": ({None}, open_invoice),
    "open with authentication": ({"threeDSecure2Required"}, open_invoice),
    "long and paid": (WORKING_CARDS, long_paid),
    "nothing due": (None, nothing_due),
}
# How often, relative to the others. Every story comes at least once if there are enough invoices.
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
