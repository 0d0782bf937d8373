"""Mentions: @name in a note reaches a colleague's queue, an edit adds and withdraws, a wrong name is said."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import colleagues, mentions, notes
from invoices.models import Mention, Note
from invoices.operations import Invalid
from tests.factories import InvoiceObject, stored, user_in_group
from tests.helpers.admin_pages import LIST, text

pytestmark = pytest.mark.django_db(transaction=True)
MENTIONS = "/admin/invoices/mention/"


@pytest.fixture
def invoice() -> str:
    return str(stored(InvoiceObject(id="in_noted", customer="cus_noted")).pk)


@pytest.fixture
def jo(db: None) -> User:
    return user_in_group("Jo.Doe-x+y", "Support agent")


def write(invoice: str, text: str, author: User) -> Note:
    return notes.write(invoice, text, author=author)[0]


def waiting(person: User) -> list[str]:
    return [mention.version.text for mention in mentions.waiting_for(person)]


# --- what is a mention ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "@Jo.Doe-x+y please call",
        "please call,@jo.doe-X+Y",
        "(@jo.doe-x+y)",
        "Ask @jo.doe-x+y.",
        "Ask @jo.doe-x+y...\nor not",
        "@jo.doe-x+y @JO.DOE-X+Y twice",
        "👩‍👧 @jo.doe-x+y",
    ],
)
def test_a_name_in_any_case_and_place(invoice: str, agent: User, jo: User, text: str) -> None:
    write(invoice, text, agent)
    assert waiting(jo) == [text] and mentions.count_for(jo) == 1 and not waiting(agent)


@pytest.mark.parametrize(
    "text",
    [
        "write to jo@agent.example",
        "jo.doe@agent",
        "https://example.com/@agent",
        "a @ b",
        "@",
        "@.",
        "mail@agent",
        "x=@agent",
    ],
)
def test_an_address_is_no_mention(invoice: str, agent: User, text: str) -> None:
    write(invoice, text, agent)
    assert not Mention.objects.exists()


def test_a_name_that_is_an_address_can_be_mentioned(invoice: str, agent: User) -> None:
    person = user_in_group("jo@example.com", "Billing manager")
    write(invoice, "Please look, @jo@example.com.", agent)
    assert len(waiting(person)) == 1


def test_who_cannot_be_mentioned_is_said_and_nothing_is_kept(invoice: str, agent: User) -> None:
    user_in_group("crm", "Service")  # cannot sign in
    User.objects.filter(username="crm").update(is_staff=False)
    user_in_group("nobody", None)  # sees no invoices
    user_in_group("gone", "Support agent")
    User.objects.filter(username="gone").update(is_active=False)
    for name in ("crm", "nobody", "gone", "nonesuch", "a" * 190, "agent2"):
        with pytest.raises(Invalid) as refused:
            write(invoice, f"@agent and @{name}, please", agent)
        assert refused.value.param == "text" and f"@{name[:150]}" in refused.value.message
    assert not Note.objects.exists() and not Mention.objects.exists()


def test_of_two_names_that_differ_in_case_the_exact_one_is_meant(invoice: str, agent: User) -> None:
    lower, upper = user_in_group("max", "Support agent"), user_in_group("MAX", "Support agent")
    write(invoice, "@MAX", agent)
    assert waiting(upper) and not waiting(lower)
    with pytest.raises(Invalid):
        write(invoice, "@Max", agent)


def test_at_most_twenty_people(invoice: str, agent: User) -> None:
    for number in range(21):
        user_in_group(f"person{number}", "Auditor")
    names = [f"@person{number}" for number in range(21)]
    write(invoice, " ".join(names[:20]), agent)
    with pytest.raises(Invalid, match="at most 20 people"):
        write(invoice, " ".join(names), agent)
    assert Mention.objects.count() == 20


# --- edits ------------------------------------------------------------------------------------------------------------


def test_an_edit_mentions_who_is_new_and_withdraws_who_is_gone(
    invoice: str, agent: User, manager: User, auditor: User
) -> None:
    note = write(invoice, "@manager please", agent)
    notes.edit(note, "@manager and @auditor please", by=agent)
    assert len(waiting(manager)) == len(waiting(auditor)) == 1 and Mention.objects.count() == 2
    notes.edit(note, "@auditor please", by=agent)
    assert not waiting(manager) and len(waiting(auditor)) == 1
    assert Mention.objects.get(person=manager).withdrawn_at is not None
    assert mentions.done(Mention.objects.get(person=auditor).pk, auditor)
    notes.edit(note, "nobody", by=agent)
    assert Mention.objects.get(person=auditor).withdrawn_at is None  # was read, and stays so
    notes.edit(note, "@auditor once more", by=agent)
    assert len(waiting(auditor)) == 1 and Mention.objects.filter(person=auditor).count() == 2


def test_who_has_left_since_does_not_stop_an_edit(invoice: str, agent: User, manager: User) -> None:
    note = write(invoice, "@manager please", agent)
    User.objects.filter(pk=manager.pk).update(is_active=False)
    notes.edit(note, "@manager please, by Friday", by=agent)
    assert note.versions.count() == 2
    with pytest.raises(Invalid):
        notes.edit(note, "@manager and @nonesuch", by=agent)
    assert note.versions.count() == 2


def test_the_same_note_sent_twice_mentions_once(invoice: str, agent: User, manager: User) -> None:
    for _ in range(2):
        notes.write(invoice, "@manager please", author=agent, idempotency_key="k")
    assert mentions.count_for(manager) == 1


def test_only_the_person_is_done_with_it(invoice: str, agent: User, manager: User) -> None:
    write(invoice, "@manager please", agent)
    mention = Mention.objects.get()
    assert not mentions.done(mention.pk, agent) and mentions.count_for(manager) == 1
    assert mentions.done(mention.pk, manager) and mentions.count_for(manager) == 0
    read_at = Mention.objects.get().read_at
    assert mentions.done(mention.pk, manager) and Mention.objects.get().read_at == read_at
    assert not mentions.done(mention.pk + 1, manager)


# --- colleagues -------------------------------------------------------------------------------------------------------


def test_who_is_suggested(agent: User, manager: User) -> None:
    User.objects.filter(pk=manager.pk).update(first_name="Ágnes", last_name="Agrest")
    user_in_group("stranger", None)
    assert [each.username for each in colleagues.beginning_with("ag", 5)] == ["agent", "manager"]
    assert [each.username for each in colleagues.beginning_with("", 1)] == ["agent"]
    assert colleagues.beginning_with("a\0", 5) and not colleagues.beginning_with("%", 5)
    assert colleagues.called(" @AGENT ") == agent and colleagues.called("a\0gent") is None


# --- the page, and the field of a note --------------------------------------------------------------------------------


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_a_mention_is_read_and_done(invoice: str, agent: User, manager: User) -> None:
    note = write(invoice, "@manager look at <b>this</b>", agent)
    mention = Mention.objects.get()
    theirs, others = signed_in(manager), signed_in(agent)
    page = text(theirs.get(MENTIONS))
    assert "look at &lt;b&gt;this" in page and f"{invoice}/#note-{note.pk}" in page
    assert "look at" not in text(others.get(MENTIONS)) and "Nobody waits for you" in text(others.get(MENTIONS))
    done = f"{MENTIONS}{mention.pk}/done/"
    assert theirs.get(done).status_code == 405 and others.post(done).status_code == 404
    assert mentions.count_for(manager) == 1
    for _ in range(2):
        assert theirs.post(done)["Location"] == MENTIONS
    page = text(theirs.get(MENTIONS))
    assert "Nobody waits for you" in page and "look at &lt;b&gt;this" in page and mentions.count_for(manager) == 0
    for path in (f"{mention.pk}/", f"{mention.pk}/change/"):
        assert theirs.get(MENTIONS + path)["Location"].endswith(f"#note-{note.pk}")
        assert others.get(MENTIONS + path).status_code == 404
    assert theirs.post(f"{MENTIONS}{10**30}/done/").status_code == theirs.get(f"{MENTIONS}x/").status_code == 404


def test_who_may_not_read_notes_has_no_mentions(invoice: str, agent: User, manager: User) -> None:
    write(invoice, "@manager please", agent)
    manager.groups.clear()
    manager.user_permissions.set(Permission.objects.filter(codename__in=("view_invoice", "view_mention")))
    client = signed_in(manager)
    for path in ("", f"{Mention.objects.get().pk}/", "colleagues/?begins=a"):
        assert client.get(MENTIONS + path).status_code == 403


def test_the_page_takes_as_many_queries_for_ten_as_for_one(invoice: str, agent: User, manager: User) -> None:
    numbers = []
    for count in (1, 10):
        while Mention.objects.count() < count:
            write(stored(InvoiceObject()).pk, "@manager please", agent)
        client = signed_in(manager)
        client.get(MENTIONS)
        with CaptureQueriesContext(connection) as queries:
            client.get(MENTIONS)
        numbers.append(len(queries))
    assert numbers[0] == numbers[1] < 20


def test_a_wrong_name_is_said_beside_the_field(desk: Client, invoice: str, agent: User) -> None:
    answer = desk.post(f"{LIST}{invoice}/notes/", {"text": "@nonesuch please call <Jane>", "new": ""})
    page = text(answer)
    assert answer.status_code == 400 and "Nobody who could read this is called @nonesuch." in page
    assert "@nonesuch please call &lt;Jane&gt;</textarea>" in page and not Note.objects.exists()
    assert 'data-mentions="/admin/invoices/mention/colleagues/"' in page


def test_names_are_suggested_while_one_types(desk: Client, client: Client, manager: User, auditor: User) -> None:
    asked = f"{MENTIONS}colleagues/?begins="
    assert desk.get(f"{asked}MAN").json() == {"people": [{"name": "manager", "called": ""}]}
    assert len(desk.get(asked).json()["people"]) == 3 and desk.get(f"{asked}%00%25").json() == {"people": []}
    assert signed_in(auditor).get(asked).status_code == 403  # writes no notes
    assert Client().get(asked).status_code == 302
