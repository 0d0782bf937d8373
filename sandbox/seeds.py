"""Seeds: a few months of business, planted into an empty state. Nobody is told: no events, no webhooks."""

import random
from collections import defaultdict
from collections.abc import Iterable

from sandbox import cards, shapes
from sandbox.ids import base62, ids
from sandbox.seed_invoices import DAY, Ground, Planted
from sandbox.seed_people import address, person
from sandbox.seed_stories import STORIES, WEIGHTS
from sandbox.store import HIDDEN, Obj, insert_sql, row_of
from sandbox.world import World

SPREAD = 120 * DAY
CHUNK = 2000
CURRENCIES = ("usd", "eur", "jpy", "kwd", "gbp", "usd", "eur", "usd", "chf", "usd")
# what a planted customer has to pay with; None: no card at all
WALLETS = ("visa", "mastercard", "chargeCustomerFail", "threeDSecure2Required", None, "visa", "amex", "visa_debit")
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
            db.notice_order(kind, *kept)
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
