"""Seeds: a few months of business, planted into an empty state. Nobody is told: no events, no webhooks."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from sandbox import cards, shapes
from sandbox.ids import base62, ids
from sandbox.seed_invoices import DAY, PLANS, Ground, Planted
from sandbox.seed_people import address, person
from sandbox.store import HIDDEN, Obj, insert_sql, row_of
from sandbox.world import World

SPREAD = 120 * DAY
CHUNK = 2000
CURRENCIES = ("usd", "eur", "jpy", "kwd", "gbp", "usd", "eur", "usd", "chf", "usd")
# what a planted customer has to pay with; None: no card at all
WALLETS = ("visa", "mastercard", "chargeCustomerFail", "threeDSecure2Required", None, "visa", "amex", "visa_debit")
GOOD: AbstractSet[str | None] = {"visa", "mastercard", "amex", "visa_debit"}
DECLINING: AbstractSet[str | None] = {"chargeCustomerFail"}
Rows = dict[str, list[Obj]]


def wanted(world: World) -> bool:
    """An empty state, or one whose planting was cut short."""
    with world.store.read() as db:
        if db.meta("planting"):
            return True
        return not db.execute("SELECT EXISTS (SELECT 1 FROM customer) OR EXISTS (SELECT 1 FROM event)").fetchone()[0]


def plant(world: World, invoices: int, seed: int) -> None:
    world.store.wipe()
    world.keep("webhook", world.webhook)
    world.keep("planting", True)
    now = world.clock.now()
    dice = random.Random(seed)
    with ids.seeded(seed):
        people = customers(dice, max(invoices // 6, 12), now)
        for rows in batches(people, dice, invoices, now):
            write(world, rows)
    write(
        world,
        {"customer": people, "payment_method": [one[HIDDEN]["method"] for one in people if one[HIDDEN]["method"]]},
    )
    with world.store.write() as db:
        db.execute("DELETE FROM meta WHERE name = 'planting'")


def write(world: World, rows: Rows) -> None:
    now = world.clock.now()
    with world.store.write() as db:
        for kind, objects in rows.items():
            kept = [{**one, HIDDEN: None} if kind == "customer" else one for one in objects]
            for one in kept:
                db.notice_order(kind, one)
            db.connection.executemany(insert_sql(kind), [row_of(kind, one) for one in kept])
        for invoice in rows.get("invoice", []):
            if invoice["status"] == "open" and (invoice["due_date"] or 0) > now:
                alarm = "INSERT INTO timer (at, what, id) VALUES (?, 'overdue', ?)"
                db.execute(alarm, (invoice["due_date"], invoice["id"]))


def customers(dice: random.Random, count: int, now: int) -> list[Obj]:
    """Every wallet and every currency is there even among the first dozen."""
    made = []
    moments = sorted(now - SPREAD - dice.randrange(DAY, 200 * DAY) for _ in range(count))
    for index, created in enumerate(moments):
        customer = shapes.customer(created, base62(index, 4).upper() + base62(dice.getrandbits(24), 4).upper())
        name, email = person(dice)
        customer.update(name=name, email=email, currency=CURRENCIES[index % len(CURRENCIES)])
        if dice.random() < 0.6:
            customer["address"] = address(dice)
        wallet = WALLETS[index % len(WALLETS)]
        method = cards.payment_method(wallet, created) if wallet else None
        if method:
            method["customer"] = customer["id"]
            method["card"]["checks"]["cvc_check"] = "pass"
            method["billing_details"].update(name=name, email=email)
            customer["invoice_settings"]["default_payment_method"] = method["id"]
        customer[HIDDEN] = {"wallet": wallet, "method": method}
        made.append(customer)
    return made


def batches(people: list[Obj], dice: random.Random, invoices: int, now: int) -> Iterable[Rows]:
    """In order of creation, so that the newest come first in lists."""
    stories = [*STORIES, *dice.choices(list(STORIES), [WEIGHTS[one] for one in STORIES], k=invoices)][:invoices]
    dice.shuffle(stories)
    moments = sorted(now - dice.randrange(2 * 3600, SPREAD) for _ in range(invoices))
    rows: Rows = defaultdict(list)
    prices: dict[int, Obj] = {}
    for story, at in zip(stories, moments, strict=True):
        who = STORIES[story][0]
        customer = dice.choice(people)
        while who and customer[HIDDEN]["wallet"] not in who:
            customer = dice.choice(people)
        planted = Planted(Ground(rows, prices, now, dice), customer, at)
        STORIES[story][1](planted)
        rows["invoice"].append(planted.invoice)
        if len(rows["invoice"]) >= CHUNK:
            yield rows
            rows = defaultdict(list)
    yield rows


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
