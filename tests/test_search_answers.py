"""Queries with their answers, and what is no query, as somebody writes them who has read Stripe's documentation alone.

What each finds is said by a function of Stripe's own object, and asked by the official SDK over HTTP. Nothing here
knows how the search reads a query.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import User

from invoices.models import ApiToken
from tests.factories import customer_at, invoice_at, stored
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

Object = dict[str, Any]
Holds = Callable[[Object], bool]
KNOWN = SimpleNamespace(ada="", ada_created=0, first="", subscription="", number="", created=0)  # filled by `world`

# Name, e-mail, phone and metadata of customers, and the metadata of an invoice of each.
PEOPLE: list[tuple[str, str, str | None, dict[str, str]]] = [
    ("Ada Lovelace", "Ada@Example.com", "+49 30 1234567", {"tier": "Gold", "order": "6735"}),
    ("ADA KING-NOEL", "ada+books@example.com", None, {"tier": "gold ", "order": "67350"}),
    ("O'Brien & Söhne GmbH", "obrien@acme.test", "0170", {"quote": 'He said "hi"', "Mixed.Key": "a.b"}),
    ("Straße İstanbul", "strasse@example.com", None, {"größe": "ÜBER", "ключ": "да"}),
    ("Jose\u0301 Café", "jose@example.com", None, {"back\\slash": "c:\\temp", "apo'strophe": "it's"}),
    ("100% Wool_Co", "wool_co%x@example.com", None, {"a:b": "c:d", "per%cent": "50%_off"}),
    ("李小龍", "li@例え.jp", None, {"null": "null", "emoji": "🎉 party"}),
    ("null", "null@example.com", None, {"zero": "0", "space key": "two  spaces"}),
    ("and or AND", "and@example.com", None, {"status": "open", "clause": 'status:"open" OR total>5'}),
]


@pytest.fixture(scope="module")
def stripe_process() -> Iterator[SandboxProcess]:
    with SandboxProcess(invoices=40, seed=7) as process:
        people = [
            customer_at(process, name=name, email=email, metadata=metadata, **({"phone": phone} if phone else {}))
            for name, email, phone, metadata in PEOPLE
        ]
        for place, person in enumerate(people):
            metadata = PEOPLE[place][3]
            invoice_at(process, 100 * 10**place, "eur" if place % 2 else "usd", customer=person.id, metadata=metadata)
        invoice_at(process, 99_999_999, customer=people[0].id, finalize=False)
        made = invoice_at(process, 4200, customer=people[0].id, metadata={"order": "7"})
        process.client().v1.invoices.void_invoice(made.id)
        made = invoice_at(process, 4300, customer=people[0].id, collection_method="send_invoice", days_until_due=30)
        process.client().v1.invoices.mark_uncollectible(made.id)
        yield process


class World:
    """What Stripe has, and the desk that mirrors it."""

    def __init__(self, process: SandboxProcess, address: str, user: User) -> None:
        at_stripe = process.client()
        self.objects: dict[str, list[Object]] = {}
        for kind, listed in (("invoices", at_stripe.v1.invoices), ("customers", at_stripe.v1.customers)):
            found = [each.to_dict() for each in listed.list({"limit": 100}).auto_paging_iter()]
            self.objects[kind] = found
            for each in found:
                stored(each)
        token = ApiToken.objects.create(user, name="judge")[1]
        self.desk = stripe.StripeClient(token, base_addresses={"api": address}, max_network_retries=0)

    def search(self, kind: str, query: str, **parameters: Any) -> Any:
        return getattr(self.desk.v1, kind).search({"query": query, **parameters})

    def found(self, kind: str, query: str, limit: int = 100) -> list[str]:
        return [each.id for each in self.search(kind, query, limit=limit).auto_paging_iter()]


@pytest.fixture
def world(stripe_process: SandboxProcess, live_server: Any, agent: User) -> World:
    found = World(stripe_process, live_server.url, agent)
    ada = next(each for each in found.objects["customers"] if each["name"] == "Ada Lovelace")
    subscribed = next(each for each in found.objects["invoices"] if subscription(each))
    KNOWN.ada, KNOWN.ada_created = ada["id"], ada["created"]
    KNOWN.subscription = subscription(subscribed)
    KNOWN.number = next(each["number"] for each in found.objects["invoices"] if each["number"])
    created = sorted(each["created"] for each in found.objects["invoices"])
    KNOWN.first, KNOWN.created = created[0], created[len(created) // 2]
    return found


# --- what an object says ----------------------------------------------------------------------------------------------


def subscription(invoice: Object) -> Any:
    return ((invoice.get("parent") or {}).get("subscription_details") or {}).get("subscription")


def paid_at(invoice: Object) -> Any:
    return invoice["status_transitions"]["paid_at"]


def same(field: str, text: str) -> Holds:
    return lambda it: (it.get(field) or "").lower() == text.lower() != ""


def part(field: str, text: str) -> Holds:
    return lambda it: text.lower() in (it.get(field) or "").lower()


def word(field: str, text: str) -> Holds:
    """Whether these words stand in it, one after the other."""

    def holds(it: Object) -> bool:
        spaced = " " + re.sub(r"[\W_]", " ", (it.get(field) or "").lower()) + " "
        return f" {re.sub(r'[^0-9a-z]', ' ', text.lower()) if text.isascii() else text.lower()} " in spaced

    return holds


def tag(key: str, text: str) -> Holds:
    return lambda it: any(k.lower() == key.lower() and v.lower() == text.lower() for k, v in it["metadata"].items())


def tagged(key: str) -> Holds:
    return lambda it: key.lower() in map(str.lower, it["metadata"])


def number(field: str, holds: Callable[[int], bool]) -> Holds:
    return lambda it: it.get(field) is not None and holds(it[field])


def missing(field: str) -> Holds:
    return lambda it: it.get(field) is None


def no(one: Holds) -> Holds:
    return lambda it: not one(it)


def every(*all_of: Holds) -> Holds:
    return lambda it: all(one(it) for one in all_of)


def some(*any_of: Holds) -> Holds:
    return lambda it: any(one(it) for one in any_of)


def nothing(it: Object) -> bool:
    return False


def everything(it: Object) -> bool:
    return True


opened, paid, usd = same("status", "open"), same("status", "paid"), same("currency", "usd")
large = number("total", lambda held: held > 1000)

OF_INVOICES: list[tuple[str, Holds]] = [
    # Spelling: letters, quotation marks, spaces, joints.
    ('status:"open"', opened),
    ("status:'open'", opened),
    ('STATUS:"open"', opened),
    ('status:"OPEN"', opened),
    ('status : "open"', opened),
    ('  status:"open"  ', opened),
    ('\tstatus:\n"open"\r\n', opened),
    ('status:"open"\u00a0total>1000', every(opened, large)),
    ('status:"open" AND total>1000', every(opened, large)),
    ('status:"open" and total>1000', every(opened, large)),
    ('status:"open" And total>1000', every(opened, large)),
    ('status:"open"   total > 1000', every(opened, large)),
    ('status:"open"\nAND\ntotal>1000', every(opened, large)),
    ('status:"open" OR total>1000', some(opened, large)),
    ('status:"open" or total>1000', some(opened, large)),
    ("status:'open' oR total>1000", some(opened, large)),
    ('status:"open" status:"paid"', nothing),
    ('status:"open" OR status:"paid"', some(opened, paid)),
    ('status:"open" status:"open" status:"open"', opened),
    ('status:"open" OR status:"open"', opened),
    ('status:"open" -status:"open"', nothing),
    ('status:"open" OR -status:"open"', everything),
    (" ".join(['-currency:"usd"'] * 10), no(usd)),
    (" OR ".join(f"total:{100 * 10**place}" for place in range(9)),
     number("total", lambda held: held in {100 * 10**place for place in range(9)})),
    # Choices and tokens.
    ('status:"draft"', same("status", "draft")),
    ('status:"void"', same("status", "void")),
    ('status:"uncollectible"', same("status", "uncollectible")),
    ('status:"nonsense"', nothing),
    ('status:"pai"', nothing),
    ('status~"pai"', paid),
    ('status~"PEN"', opened),
    ('status~"%%%"', nothing),
    ('-status:"paid"', no(paid)),
    ('-status~"pai"', no(paid)),
    ('-status:"paid" -status:"open"', every(no(paid), no(opened))),
    ("status:null", nothing),
    ("-status:null", everything),
    ('currency:"usd"', usd),
    ('currency:"USD"', usd),
    ('-currency:"usd"', no(usd)),
    ('currency:"us"', nothing),
    ("-currency:null", everything),
    ('last_finalization_error_code:"x"', nothing),
    ("last_finalization_error_code:null", everything),
    ("last_finalization_error_type:null", everything),
    ('-last_finalization_error_type:"api_error"', everything),
    # Numbers.
    ("total>1000", large),
    ('total>"1000"', large),
    ("total>'1000'", large),
    ("total >1000", large),
    ("total> 1000", large),
    ("total>=1000", number("total", lambda held: held >= 1000)),
    ("total >= 1000", number("total", lambda held: held >= 1000)),
    ("total<1000", number("total", lambda held: held < 1000)),
    ("total<=1000", number("total", lambda held: held <= 1000)),
    ("total:1000", number("total", lambda held: held == 1000)),
    ('total:"1000"', number("total", lambda held: held == 1000)),
    ("total:01000", number("total", lambda held: held == 1000)),
    ("-total:1000", no(number("total", lambda held: held == 1000))),
    ("-total>1000", no(large)),
    ("total>-1", number("total", lambda held: held > -1)),
    ('total<"-1"', number("total", lambda held: held < -1)),
    ("total:-0", number("total", lambda held: held == 0)),
    ("total<=0", number("total", lambda held: held <= 0)),
    ("total:4200", number("total", lambda held: held == 4200)),
    ("total>=100 total<=10000", number("total", lambda held: 100 <= held <= 10000)),
    ("total<100 OR total>10000", number("total", lambda held: held < 100 or held > 10000)),
    ("total>999999999999999999", nothing),
    ("total<999999999999999999", everything),
    ("total>-999999999999999999", everything),
    ("total:null", nothing),
    ("-total:NULL", everything),
    ("amount_due>0", number("amount_due", lambda held: held > 0)),
    ("amount_due:0", number("amount_due", lambda held: held == 0)),
    ("amount_remaining>0", number("amount_remaining", lambda held: held > 0)),
    ("amount_remaining:0", number("amount_remaining", lambda held: held == 0)),
    ("amount_remaining<=1000 amount_remaining>0", number("amount_remaining", lambda held: 0 < held <= 1000)),
    # Times.
    ("created>{created}", lambda it: it["created"] > KNOWN.created),
    ("created>={created}", lambda it: it["created"] >= KNOWN.created),
    ("created<{created}", lambda it: it["created"] < KNOWN.created),
    ("created<={created}", lambda it: it["created"] <= KNOWN.created),
    ("created:{created}", lambda it: it["created"] == KNOWN.created),
    ('created:"{created}"', lambda it: it["created"] == KNOWN.created),
    ("-created:{created}", lambda it: it["created"] != KNOWN.created),
    ("created<{first}", nothing),
    ("created>0", everything),
    ("created>-1", everything),
    ("created<99999999999999", everything),
    ("created:0", nothing),
    ("due_date:null", missing("due_date")),
    ("-due_date:null", no(missing("due_date"))),
    ("due_date>0", no(missing("due_date"))),
    ("-due_date>0", missing("due_date")),
    ("paid_at:null", lambda it: paid_at(it) is None),
    ("-paid_at:null", lambda it: paid_at(it) is not None),
    ("paid_at>{created}", lambda it: (paid_at(it) or 0) > KNOWN.created),
    ("-paid_at>{created}", lambda it: (paid_at(it) or 0) <= KNOWN.created),
    # Ids: tokens, whose letters count alike in Stripe's language.
    ('customer:"{ada}"', lambda it: it["customer"] == KNOWN.ada),
    ("customer:'{ada}'", lambda it: it["customer"] == KNOWN.ada),
    ('customer:"{ADA}"', lambda it: it["customer"] == KNOWN.ada),
    ('-customer:"{ada}"', lambda it: it["customer"] != KNOWN.ada),
    ('-customer:"{ADA}"', lambda it: it["customer"] != KNOWN.ada),
    ('customer:"cus_"', nothing),
    ("customer:null", nothing),
    ("-customer:null", everything),
    ('customer:"{ada}" status:"open"', every(lambda it: it["customer"] == KNOWN.ada, opened)),
    ('subscription:"{subscription}"', lambda it: subscription(it) == KNOWN.subscription),
    ('subscription:"{SUBSCRIPTION}"', lambda it: subscription(it) == KNOWN.subscription),
    ('-subscription:"{subscription}"', lambda it: subscription(it) != KNOWN.subscription),
    ('subscription~"sub_"', lambda it: bool(subscription(it))),
    ('subscription~"SUB"', lambda it: bool(subscription(it))),
    ('-subscription~"sub_"', lambda it: not subscription(it)),
    ("subscription:null", lambda it: not subscription(it)),
    ("-subscription:null", lambda it: bool(subscription(it))),
    # Texts.
    ('number:"{number}"', lambda it: it["number"] == KNOWN.number),
    ('number:"{NUMBER}"', lambda it: it["number"] == KNOWN.number),
    ('number~"{tail}"', lambda it: KNOWN.number[-3:] in (it["number"] or "")),
    ('-number~"{tail}"', lambda it: KNOWN.number[-3:] not in (it["number"] or "")),
    ("number:null", missing("number")),
    ("-number:null", no(missing("number"))),
    ('number~"___"', nothing),
    ("receipt_number:null", missing("receipt_number")),
    ('receipt_number~"-00"', part("receipt_number", "-00")),
    ('customer_email:"ada@example.com"', same("customer_email", "ada@example.com")),
    ('customer_email:"ADA@EXAMPLE.COM"', same("customer_email", "ada@example.com")),
    ('customer_email:"ada+books@example.com"', same("customer_email", "ada+books@example.com")),
    ('customer_email:"example.com"', nothing),
    ('customer_email~"example.com"', part("customer_email", "example.com")),
    ('customer_email~"da@"', part("customer_email", "da@")),
    ('customer_email~"o%x"', part("customer_email", "o%x")),
    ('customer_email~"l_c"', part("customer_email", "l_c")),
    ('customer_email~"%%%"', nothing),
    ('customer_email~"例え."', part("customer_email", "例え.")),
    ('-customer_email~"@example"', no(part("customer_email", "@example"))),
    ("customer_email:null", missing("customer_email")),
    ('customer_name:"Ada Lovelace"', word("customer_name", "ada lovelace")),
    ('customer_name:"ada"', word("customer_name", "ada")),
    ('customer_name:"KING"', word("customer_name", "king")),
    ('customer_name:"king-noel"', word("customer_name", "king-noel")),
    ('customer_name:"lovel"', nothing),
    ('customer_name~"lovel"', part("customer_name", "lovel")),
    ('customer_name~"ace"', part("customer_name", "ace")),
    ('customer_name:"o\'brien"', part("customer_name", "o'brien")),
    ("customer_name:'o\\'brien'", part("customer_name", "o'brien")),
    ('customer_name~"n & s"', part("customer_name", "n & s")),
    ('customer_name:"SÖHNE"', word("customer_name", "söhne")),
    ('customer_name~"ÖHN"', part("customer_name", "öhn")),
    ('customer_name:"straße"', word("customer_name", "straße")),
    ('customer_name:"strasse"', nothing),
    ('customer_name~"raß"', part("customer_name", "raß")),
    ('customer_name:"İstanbul"', part("customer_name", "İstanbul")),
    ('customer_name~"İst"', part("customer_name", "İst")),
    ('customer_name:"Jose\u0301"', part("customer_name", "jose\u0301")),
    ('customer_name~"fé "', nothing),
    ('customer_name:"CAFÉ"', word("customer_name", "café")),
    ('customer_name~"0% "', part("customer_name", "0% ")),
    ('customer_name~"l_C"', part("customer_name", "l_c")),
    ('customer_name~"l-c"', nothing),
    ('customer_name:"100%"', part("customer_name", "100%")),
    ('customer_name:".*"', nothing),
    ('customer_name:"李小龍"', part("customer_name", "李小龍")),
    ('customer_name~"李小龍"', part("customer_name", "李小龍")),
    ('customer_name:"null"', word("customer_name", "null")),
    ('customer_name:"or"', word("customer_name", "or")),
    ('customer_name:"and or and"', word("customer_name", "and or and")),
    ('-customer_name:"ada"', no(word("customer_name", "ada"))),
    ('-customer_name~"ada"', no(part("customer_name", "ada"))),
    # Metadata.
    ('metadata["order"]:"6735"', tag("order", "6735")),
    ("metadata['order']:'6735'", tag("order", "6735")),
    ('metadata[ "order" ] : "6735"', tag("order", "6735")),
    ('METADATA["ORDER"]:"6735"', tag("order", "6735")),
    ('metadata["order"]:"673"', nothing),
    ('metadata["tier"]:"gold"', tag("tier", "gold")),
    ('metadata["tier"]:"gold "', tag("tier", "gold ")),
    ('-metadata["tier"]:"gold"', no(tag("tier", "gold"))),
    ('metadata["tier"]:null', no(tagged("tier"))),
    ('-metadata["tier"]:null', tagged("tier")),
    ('metadata["nobody"]:null', everything),
    ('-metadata["nobody"]:null', nothing),
    ('metadata["quote"]:"he said \\"hi\\""', tag("quote", 'he said "hi"')),
    ("metadata['quote']:'He said \"hi\"'", tag("quote", 'he said "hi"')),
    ('metadata["mixed.key"]:"A.B"', tag("mixed.key", "a.b")),
    ('metadata["größe"]:"über"', tag("größe", "über")),
    ('metadata["Ключ"]:"ДА"', tag("ключ", "да")),
    ('metadata["back\\\\slash"]:"C:\\\\Temp"', tag("back\\slash", "c:\\temp")),
    ("metadata['apo\\'strophe']:\"it's\"", tag("apo'strophe", "it's")),
    ('metadata["apo\'strophe"]:\'it\\\'s\'', tag("apo'strophe", "it's")),
    ('metadata["a:b"]:"c:d"', tag("a:b", "c:d")),
    ('metadata["per%cent"]:"50%_off"', tag("per%cent", "50%_off")),
    ('metadata["per%cent"]:"50%-off"', nothing),
    ('metadata["null"]:"null"', tag("null", "null")),
    ('metadata["null"]:null', no(tagged("null"))),
    ('metadata["emoji"]:"🎉 party"', tag("emoji", "🎉 party")),
    ('metadata["zero"]:"0"', tag("zero", "0")),
    ('metadata["space key"]:"two  spaces"', tag("space key", "two  spaces")),
    ('metadata["space key"]:"two spaces"', nothing),
    ('metadata["status"]:"open"', tag("status", "open")),
    ('metadata["clause"]:"status:\\"open\\" OR total>5"', tag("clause", 'status:"open" OR total>5')),
    # Several together.
    ('metadata["order"]:"6735" AND status:"open" AND total<1000',
     every(tag("order", "6735"), opened, number("total", lambda held: held < 1000))),
    ('customer_name:"ada" -status:"void" -currency:"eur" created>0 number~"-00"',
     every(word("customer_name", "ada"), no(same("status", "void")), no(same("currency", "eur")),
           part("number", "-00"))),
    ('metadata["order"]:"7" OR metadata["tier"]:"gold" OR customer_name:"café" OR number:null',
     some(tag("order", "7"), tag("tier", "gold"), word("customer_name", "café"), missing("number"))),
    ('-status:"paid" OR -currency:"usd"', some(no(paid), no(usd))),
]  # fmt: skip
OF_CUSTOMERS: list[tuple[str, Holds]] = [
    ('email:"ada@example.com"', same("email", "ada@example.com")),
    ("email:'ADA@EXAMPLE.COM'", same("email", "ada@example.com")),
    ('-email:"ada@example.com"', no(same("email", "ada@example.com"))),
    ('email~"ada"', part("email", "ada")),
    ('email~"o%x"', part("email", "o%x")),
    ('email~"wool_co"', part("email", "wool_co")),
    ("email:null", missing("email")),
    ('name:"Ada Lovelace"', word("name", "ada lovelace")),
    ('name:"lovelace"', word("name", "lovelace")),
    ('name~"ovel"', part("name", "ovel")),
    ('name:"null"', word("name", "null")),
    ("name:null", missing("name")),
    ("-name:null", no(missing("name"))),
    ('phone:"0170"', same("phone", "0170")),
    ('phone~"+49"', part("phone", "+49")),
    ('phone~"30 123"', part("phone", "30 123")),
    ("phone:null", missing("phone")),
    ('metadata["tier"]:"GOLD"', tag("tier", "gold")),
    ('-metadata["tier"]:null', tagged("tier")),
    ("created>={ada_created}", lambda it: it["created"] >= KNOWN.ada_created),
    ('name~"ada" email~"books"', every(part("name", "ada"), part("email", "books"))),
    ('name:"café" OR phone:"0170"', some(word("name", "café"), same("phone", "0170"))),
]

BAD: list[str] = [
    "", "   ", "\n", "open", '"open"', "status", "status:", 'status"open"', 'status "open"', 'status="open"',
    'status:“open”', 'status!="open"', 'status:"open', "status:'open", "status:\"open'", 'status:open"',
    "status:open", "status:OPEN", 'status:""', "status:''", 'status:["open"]', 'status:{"a"}', 'status::"open"',
    'status:"open",total>5', 'status:"open";total>5', 'status:"open"&total>5', 'status:"open" && total>5',
    'status:"open" || total>5', 'status:"open"AND total>5', 'status:"open" ANDtotal>5', 'status:"open" AND',
    'status:"open" OR', 'AND status:"open"', 'OR status:"open"', "AND", "or", 'status:"open" AND AND total>5',
    'status:"open" AND OR total>5', 'status:"open" OR AND total>5', 'status:"open" AND total>5 OR total<9',
    'status:"open" OR total>5 AND total<9', 'status:"open" OR total>5 total<9', 'status:"open" total>5 OR total<9',
    '(status:"open")', '(status:"open" OR total>5) total>1', 'status:("open" OR "paid")', 'status:"open" )',
    'NOT status:"open"', 'not status:"open"', '!status:"open"', '- status:"open"', '--status:"open"', 'status:-"open"',
    '-"open"', "-", " ".join(["total>1"] * 11), " OR ".join(["total>1"] * 11), 'colour:"red"', 'id:"in_1"',
    'metadata:"a"', 'metadata.order:"1"', 'metadata[order]:"1"', 'metadata["order]:"1"', 'metadata["order":"1"',
    'metadata[]:"1"', 'metadata[""]:"1"', 'metadata["a"]["b"]:"1"', 'metadata["a"]~"abc"', 'metadata["a"]>5',
    'metadata["a"]:5', 'metadata["a"]', 'status["a"]:"open"', 'total~"100"', 'total:"abc"', "total:abc", "total>",
    "total>>5", "total=>5", "total><5", "total>5.5", 'total>"5.5"', "total>1e3", "total>+5", "total>0x10",
    "total>1,000", "total>$10", "total>١٢", "total>1234567890123456789", "total>" + "9" * 400, "total>--5",
    'total>" 5"',
    'created>"2026-01-01"', "created>2026-01-01", "created>now", "created>1700000000.5", 'status>"open"', 'number<"A"',
    'currency~"usd"', 'customer~"cus"', 'number~"ab"', 'number~"é1"', 'number~"🎉🎉"', 'number~""', "number~null",
    "total>null", "total>=null", "number:5", "number:nul", "number:true", 'number:"a\x00b"', "\x00", 'number:"a" \x00',
    'status:"open" -- comment', 'status:"open" /* comment */', 'status:"open" # comment', 'status:"open" *', "*", "%",
    "status:*", 'status:"open" OR 1=1', "'; DROP TABLE invoices_invoice; --", 'number:"' + "x" * 10_000 + '"',
    "(" * 3000, "-" * 3000, '"' * 3001, 'email:"a@b.c"',
]  # fmt: skip


def filled(query: str) -> str:
    """The query with what is known only when the world is made."""
    values = {**vars(KNOWN), "ADA": KNOWN.ada.upper(), "SUBSCRIPTION": KNOWN.subscription.upper(),
              "NUMBER": KNOWN.number.lower(), "tail": KNOWN.number[-3:]}  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), query)


def listed(wrong: dict[str, str]) -> str:
    return "\n".join(f"{query[:100]!r}: {what}" for query, what in wrong.items())


def test_each_query_finds_what_stripes_objects_say(world: World) -> None:
    """And nothing else, newest first: by pages of a hundred."""
    wrong = {}
    for kind, table in (("invoices", OF_INVOICES), ("customers", OF_CUSTOMERS)):
        for query, holds in table:
            objects = sorted(world.objects[kind], key=lambda it: (it["created"], it["id"]), reverse=True)
            expected = [it["id"] for it in objects if holds(it)]
            try:
                found = world.found(kind, filled(query))
            except stripe.StripeError as error:
                wrong[query] = f"refused: {error}"
                continue
            if found != expected:
                more, less = set(found) - set(expected), set(expected) - set(found)
                wrong[query] = f"also {sorted(more)}, not {sorted(less)}" if more or less else "in another order"
    assert not wrong, listed(wrong)


def test_the_answers_tell_queries_apart(world: World) -> None:
    """A table in which each query found everything, or nothing, would prove little."""
    sizes = [sum(map(holds, world.objects["invoices"])) for _, holds in OF_INVOICES]
    telling = [size for size in sizes if 0 < size < len(world.objects["invoices"])]
    assert len(OF_INVOICES) + len(OF_CUSTOMERS) >= 200 and len(telling) >= 130


def test_what_is_no_query_is_refused_and_says_where(world: World) -> None:
    wrong = {}
    for query in BAD:
        try:
            world.search("invoices", query)
            wrong[query[:80]] = "answered"
        except stripe.InvalidRequestError as error:
            placed = re.search(r"at character (\d+): \S", str(error))
            if error.http_status != 400 or error.param != "query":
                wrong[query[:80]] = str(error)
            elif query and "\x00" not in query and not (placed and 1 <= int(placed[1]) <= len(query) + 1):
                wrong[query[:80]] = f"says not where: {error}"
        except stripe.StripeError as error:
            wrong[query[:80]] = f"{type(error).__name__}: {error}"
    assert len(BAD) >= 100 and not wrong, listed(wrong)


def test_pages_of_any_size_give_the_same_rows(world: World) -> None:
    whole = world.found("invoices", "total>0")
    assert len(whole) > 30
    for limit in (1, 7, 99):
        assert world.found("invoices", "total>0", limit) == whole
    assert len(world.search("invoices", "total>0", limit=0).data) == 1  # clamped, as at Stripe
    assert len(world.search("invoices", "total>0", limit=1000).data) == min(len(whole), 100)
    assert len(world.search("invoices", "total>0").data) == 10
    counted = world.search("invoices", "total>0", limit=3, expand=["total_count"])
    assert counted.total_count == len(whole)


def test_a_page_that_is_not_the_searchs_own_is_refused(world: World) -> None:
    page = world.search("invoices", "created>0", limit=2).next_page
    altered = [page[:-1], page + "A", page.swapcase(), page[1:], "!" + page, "a" * 5000, "\x00", "null", "e30", "W10"]
    for wrong in altered:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            world.search("invoices", "created>0", page=wrong)
        assert caught.value.param == "page", wrong
    for kind, query in (("invoices", "created>1"), ("customers", "created>0")):
        with pytest.raises(stripe.InvalidRequestError, match="belongs to another") as caught:
            world.search(kind, query, page=page)
        assert caught.value.param == "page"
