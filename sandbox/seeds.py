"""Seeds: a few months of invoices, planted into an empty state file. Planting makes no events and no webhooks.

seed_stories.py says what becomes of the invoices, seed_invoices.py builds them.
"""

import random
from collections import defaultdict
from collections.abc import Iterable

from sandbox import cards, shapes
from sandbox.ids import base62, ids
from sandbox.seed_invoices import DAY_SECONDS, HOUR_SECONDS, PlantedInvoice, SharedState
from sandbox.seed_people import address, name_and_email
from sandbox.seed_stories import STORIES, WEIGHTS
from sandbox.store import HIDDEN, StripeObject, insert_sql, row_of
from sandbox.world import World

SPREAD_SECONDS = 120 * DAY_SECONDS  # invoices are created within this time before now
INVOICES_PER_TRANSACTION = 2000
# the currency of each planted customer, in turn
CURRENCIES = ("usd", "eur", "jpy", "kwd", "gbp", "usd", "eur", "usd", "chf", "usd")
# the default card of each planted customer, in turn; None: no card
CARDS_IN_TURN = (
    "visa", "mastercard", "chargeCustomerFail", "threeDSecure2Required", None, "visa", "amex", "visa_debit",
)  # fmt: skip
Rows = dict[str, list[StripeObject]]


def is_needed(world: World) -> bool:
    """Whether the state is empty, or its planting was interrupted."""
    with world.store.read() as db:
        if db.setting("planting"):
            return True
        return not db.execute("SELECT EXISTS (SELECT 1 FROM customer) OR EXISTS (SELECT 1 FROM event)").fetchone()[0]


def plant(world: World, invoices: int, seed: int) -> None:
    """Delete everything, then plant this number of invoices and their customers.

    The setting `planting` stays while this runs, so that an interrupted planting starts anew with the next process.
    """
    world.store.wipe()
    world.save_setting("webhook", world.webhook)
    world.save_setting("planting", True)
    now = world.clock.now()
    dice = random.Random(seed)
    with ids.seeded(seed):
        people = customers(dice, max(invoices // 6, 12), now)
        for rows in batches(people, dice, invoices, now):
            insert_rows(world, rows)
    insert_rows(
        world,
        {"customer": people, "payment_method": [one[HIDDEN]["method"] for one in people if one[HIDDEN]["method"]]},
    )
    with world.store.write() as db:
        db.execute("DELETE FROM meta WHERE name = 'planting'")


def insert_rows(world: World, rows: Rows) -> None:
    now = world.clock.now()
    with world.store.write() as db:
        for kind, objects in rows.items():
            kept = [{**one, HIDDEN: None} if kind == "customer" else one for one in objects]
            db.note_creation_order(kind, *kept)
            db.connection.executemany(insert_sql(kind), [row_of(kind, one) for one in kept])
        for invoice in rows.get("invoice", []):  # invoice.overdue comes when the due date passes
            if invoice["status"] == "open" and (invoice["due_date"] or 0) > now:
                insert_timer = "INSERT INTO timer (at, what, id) VALUES (?, 'overdue', ?)"
                db.execute(insert_timer, (invoice["due_date"], invoice["id"]))


def customers(dice: random.Random, count: int, now: int) -> list[StripeObject]:
    """Customers in order of creation. Twelve are enough for every card and every currency."""
    made = []
    moments = sorted(now - SPREAD_SECONDS - dice.randrange(DAY_SECONDS, 200 * DAY_SECONDS) for _ in range(count))
    for index, created in enumerate(moments):
        customer = shapes.customer(created, base62(index, 4).upper() + base62(dice.getrandbits(24), 4).upper())
        name, email = name_and_email(dice)
        customer.update(name=name, email=email, currency=CURRENCIES[index % len(CURRENCIES)])
        if dice.random() < 0.6:
            customer["address"] = address(dice)
        card_name = CARDS_IN_TURN[index % len(CARDS_IN_TURN)]
        method = cards.payment_method(card_name, created) if card_name else None
        if method:
            method["customer"] = customer["id"]
            method["card"]["checks"]["cvc_check"] = "pass"
            method["billing_details"].update(name=name, email=email)
            customer["invoice_settings"]["default_payment_method"] = method["id"]
        customer[HIDDEN] = {"card": card_name, "method": method}
        made.append(customer)
    return made


def batches(people: list[StripeObject], dice: random.Random, invoices: int, now: int) -> Iterable[Rows]:
    """The rows of the invoices in order of creation, one batch for each transaction."""
    stories = [*STORIES, *dice.choices(list(STORIES), [WEIGHTS[one] for one in STORIES], k=invoices)][:invoices]
    dice.shuffle(stories)
    moments = sorted(now - dice.randrange(2 * HOUR_SECONDS, SPREAD_SECONDS) for _ in range(invoices))
    rows: Rows = defaultdict(list)
    prices: dict[int, StripeObject] = {}
    for story, at in zip(stories, moments, strict=True):
        allowed_cards = STORIES[story][0]
        customer = dice.choice(people)
        while allowed_cards and customer[HIDDEN]["card"] not in allowed_cards:
            customer = dice.choice(people)
        planted = PlantedInvoice(SharedState(rows, prices, now, dice), customer, at)
        STORIES[story][1](planted)
        rows["invoice"].append(planted.invoice)
        if len(rows["invoice"]) >= INVOICES_PER_TRANSACTION:
            yield rows
            rows = defaultdict(list)
    yield rows
