"""Notes on invoices: written and edited by API and in the admin, once however often they are sent, and erased."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import clock, erasure, journal, notes
from invoices.admin.links import page_url
from invoices.models import ApiToken, Invoice, Note, NoteVersion
from invoices.models.immutable import ImmutableError
from invoices.operations import Invalid, Refusal
from tests.factories import CustomerObject, InvoiceObject, stored, user_in_group
from tests.helpers.admin_pages import hidden, text

pytestmark = pytest.mark.django_db(transaction=True)
NOTES = "/v1/notes"


class Caller:
    def __init__(self, user: User, **token: Any) -> None:
        given = {"name": "crm", "created_by": user, "scopes": "read notes", **token}
        self.token, key = ApiToken.objects.create(user, **given)
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str) -> Any:
        return Client().get(path, headers=self.headers)

    def post(self, path: str, asked: dict[str, Any], key: str = "") -> Any:
        headers = {**self.headers, **({"Idempotency-Key": key} if key else {})}
        return Client().post(path, asked, "application/json", headers=headers)

    def write(self, invoice: str, text: str = "Called, no answer", key: str = "") -> Any:
        return self.post(NOTES, {"invoice": invoice, "text": text}, key)


@pytest.fixture
def caller(agent: User) -> Caller:
    return Caller(agent)


@pytest.fixture
def invoice() -> str:
    stored(InvoiceObject(id="in_noted", customer="cus_noted"))
    return "in_noted"


def good(answer: Any) -> Any:
    assert answer.status_code == 200, answer.content
    return answer.json()


def error(answer: Any, status: int = 400) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()["error"]


# --- by API -----------------------------------------------------------------------------------------------------------


def test_written_listed_edited_and_its_past_read(caller: Caller, invoice: str) -> None:
    stored(InvoiceObject(id="in_other"))
    made = good(caller.write(invoice, "  Called,\r\nno answer 👩‍👧 \n"))
    good(caller.write("in_other"))
    assert (made["object"], made["invoice"], made["author"], made["version"]) == ("note", invoice, "agent", 1)
    assert made["text"] == "Called,\nno answer 👩‍👧" and made["token"] == {"name": "crm", "created_by": "agent"}
    edited = good(caller.post(f"{NOTES}/{made['id']}", {"text": "Called, pays on Friday"}))
    assert (edited["version"], edited["text"]) == (2, "Called, pays on Friday")
    good(caller.post(f"{NOTES}/{made['id']}", {"text": "Called, pays on Friday"}))  # sent again
    found = good(caller.get(f"{NOTES}/{made['id']}"))
    assert [(each["number"], each["text"]) for each in found["versions"]] == [
        (1, "Called,\nno answer 👩‍👧"),
        (2, "Called, pays on Friday"),
    ]
    listed = good(caller.get(f"{NOTES}?invoice={invoice}"))
    assert [(each["id"], each["text"]) for each in listed["data"]] == [(made["id"], "Called, pays on Friday")]


def test_pages_and_files(caller: Caller, invoice: str) -> None:
    ids = [good(caller.write(invoice, f"=note {number}"))["id"] for number in range(5)][::-1]
    first = good(caller.get(f"{NOTES}?limit=3"))
    assert [each["id"] for each in first["data"]] == ids[:3] and first["has_more"]
    rest = good(caller.get(f"{NOTES}?limit=3&starting_after={ids[2]}"))
    assert [each["id"] for each in rest["data"]] == ids[3:] and not rest["has_more"]
    table = b"".join(caller.get(f"{NOTES}.csv")).decode()
    assert table.splitlines()[0] == "id,object,invoice,created,edited,author,version,text" and "'=note 4" in table
    assert len(b"".join(caller.get(f"{NOTES}.ndjson")).splitlines()) == 5


def test_a_list_takes_as_many_queries_for_ten_as_for_two(caller: Caller, invoice: str) -> None:
    numbers = []
    for count in (2, 10):
        while Note.objects.count() < count:
            good(caller.write(invoice))
        with CaptureQueriesContext(connection) as queries:
            good(caller.get(f"{NOTES}?invoice={invoice}"))
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"invoice": "in_noted"}, "text"),
        ({"text": "x"}, "invoice"),
        ({"invoice": "in_none", "text": "x"}, "invoice"),
        ({"invoice": "in_noted", "text": "   "}, "text"),
        ({"invoice": "in_noted", "text": "x" * 5001}, "text"),
        ({"invoice": "in_noted", "text": "a\u0007b"}, "text"),
        ({"invoice": "in_noted", "text": "a\u202eb"}, "text"),
        ({"invoice": "in_noted", "text": "a\x00b"}, "text"),
        ({"invoice": "in_noted", "text": 7}, "text"),
        ({"invoice": "in_noted", "text": "x", "author": "manager"}, "author"),
    ],
)
def test_what_is_no_note(caller: Caller, invoice: str, asked: dict[str, Any], param: str) -> None:
    assert error(caller.post(NOTES, asked))["param"] == param
    assert not Note.objects.exists()


def test_who_may(agent: User, manager: User, auditor: User, invoice: str) -> None:
    made = good(Caller(agent).write(invoice))
    assert error(Caller(auditor).write(invoice), 403)["code"] == "permission_denied"
    assert good(Caller(auditor).get(f"{NOTES}/{made['id']}"))
    for scopes in ("read", "read actions approve", ""):
        assert "notes" in error(Caller(agent, scopes=scopes).write(invoice), 403)["message"]
    said = error(Caller(manager).post(f"{NOTES}/{made['id']}", {"text": "x"}), 403)["message"]
    assert said == "Only agent can edit this note."
    stranger = Caller(User.objects.create_user("stranger"))
    assert error(stranger.get(NOTES), 403) and error(stranger.write(invoice), 403)
    assert error(Caller(agent).post(f"{NOTES}/{uuid.uuid4()}", {"text": "x"}), 404)
    assert good(Caller(user_in_group("crm", "Service")).write(invoice))["author"] == "crm"


def test_the_same_key_is_the_same_note(caller: Caller, manager: User, invoice: str) -> None:
    first = caller.write(invoice, key="k")
    again = caller.write(invoice, key="k")
    assert good(again)["id"] == good(first)["id"] and again["Idempotent-Replayed"] == "true"
    assert error(caller.write(invoice, "something else", "k"))["type"] == "idempotency_error"
    assert good(Caller(manager).write(invoice, key="k"))["id"] != good(first)["id"]
    caller.token.revoked_at = clock.now()
    caller.token.save(update_fields=["revoked_at"])
    assert error(caller.write(invoice, key="k"), 401)


def test_five_at_once_with_one_key_write_one_note(caller: Caller, invoice: str) -> None:
    def write(number: int) -> Any:
        try:
            return caller.write(invoice, key="k")
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        ids = {good(answer)["id"] for answer in pool.map(write, range(5))}
    assert len(ids) == 1 and NoteVersion.objects.count() == 1


def test_edits_at_once_each_have_a_number(caller: Caller, invoice: str) -> None:
    made = good(caller.write(invoice))

    def edit(number: int) -> Any:
        try:
            return caller.post(f"{NOTES}/{made['id']}", {"text": f"edit {number}"})
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(edit, range(4)))
    done = sum(answer.status_code == 200 for answer in answers)
    numbers = list(NoteVersion.objects.order_by("number").values_list("number", flat=True))
    assert done and numbers == list(range(1, done + 2))
    assert {answer.status_code for answer in answers} <= {200, 409}


# --- in the admin -----------------------------------------------------------------------------------------------------


def page_of(client: Client, invoice: str) -> str:
    return text(client.get(page_url(Invoice.objects.get(pk=invoice))))


def address(invoice: str, note: str = "") -> str:
    return f"/admin/invoices/invoice/{invoice}/notes/{note}"


def test_written_and_edited_on_the_page(desk: Client, agent: User, invoice: str) -> None:
    page = page_of(desk, invoice)
    assert "Nobody has written a note yet" in page
    new = hidden(page.split('id="notes"')[1])["new"]
    for _ in range(2):  # a double click
        answer = desk.post(address(invoice), {"new": new, "text": "<b>Called</b>\n\nno answer"})
        assert answer["Location"].endswith("#notes")
    note = Note.objects.get()
    page = page_of(desk, invoice)
    assert "&lt;b&gt;Called&lt;/b&gt;" in page and "<b>Called" not in page
    desk.post(address(invoice, f"{note.pk}/"), {"seen": "1", "text": "pays on Friday"})
    page = page_of(desk, invoice)
    assert "pays on Friday" in page and "What it said before" in page and "&lt;b&gt;Called" in page
    assert [each.address for each in note.versions.all()] == ["127.0.0.1"] * 2


def test_two_tabs_do_not_overwrite_each_other(desk: Client, agent: User, invoice: str) -> None:
    note, _ = notes.write(invoice, "first", author=agent)
    desk.post(address(invoice, f"{note.pk}/"), {"seen": "1", "text": "of one tab"})
    answer = desk.post(address(invoice, f"{note.pk}/"), {"seen": "1", "text": "of the other tab"})
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "edited meanwhile" in page and "of the other tab</textarea>" in page
    assert note.last_version.text == "of one tab"


def test_what_cannot_be_kept_is_shown_again(desk: Client, invoice: str) -> None:
    answer = desk.post(address(invoice), {"new": str(uuid.uuid4()), "text": "x" * 5001})
    assert answer.status_code == 400 and "at most 5,000 characters" in answer.content.decode()
    assert "x" * 5001 in answer.content.decode() and not Note.objects.exists()
    guessed = str(notes.id_of_key(User.objects.get(username="agent"), "k"))
    assert desk.post(address(invoice), {"new": guessed, "text": "x"}).status_code == 400


def test_the_page_of_who_may_only_look_and_of_who_may_not(client: Client, agent: User, invoice: str) -> None:
    note, _ = notes.write(invoice, "a note of the agent", author=agent)
    client.force_login(user_in_group("auditor", "Auditor"))
    page = page_of(client, invoice)
    assert "a note of the agent" in page and "A new note" not in page and "What it says from now on" not in page
    assert client.post(address(invoice), {"text": "x"}).status_code == 403
    assert client.post(address(invoice, f"{note.pk}/"), {"seen": "1", "text": "x"}).status_code == 403
    stranger = User.objects.create_user("stranger", is_staff=True)
    stranger.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    client.force_login(stranger)
    page = page_of(client, invoice)
    assert "a note of the agent" not in page and 'id="notes"' not in page
    assert client.post(address(invoice), {"text": "x"}).status_code == 403
    assert Note.objects.count() == 1


# --- the journal ------------------------------------------------------------------------------------------------------


def test_a_note_is_never_deleted_nor_rewritten(agent: User, invoice: str) -> None:
    note, _ = notes.write(invoice, "first", author=agent)
    with pytest.raises(ImmutableError):
        note.delete()
    with pytest.raises(ImmutableError):
        NoteVersion.objects.update(text="other")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE invoices_noteversion SET text = 'other'")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM invoices_noteversion")
    with pytest.raises(Refusal):
        notes.edit(note, "x", by=User.objects.create_user("other"))
    with pytest.raises(Invalid):
        notes.edit(note, "\u2066", by=agent)


def test_the_text_goes_with_the_customer_and_the_proof_stays(agent: User, manager: User, tmp_path: Path) -> None:
    stored(CustomerObject(id="cus_noted", name="Zoë Quistgaard"))
    stored(InvoiceObject(id="in_noted", customer="cus_noted"))
    stored(InvoiceObject(id="in_other", customer="cus_other"))
    caller = Caller(agent)
    made = good(caller.write("in_noted", "She pays on Friday", "k"))
    good(caller.post(f"{NOTES}/{made['id']}", {"text": "She paid"}))
    good(caller.write("in_other", "another customer's"))
    journal.chain()
    erasing = erasure.begin("cus_noted", reason="asked for", actor=manager, shell_user="")
    known = erasure.known_of("cus_noted", erasure.Archives("cus_noted", tmp_path))
    rows = erasure.JOURNAL["note_version"]("cus_noted")
    assert erasure._erase_journal(erasing, "note_version", rows, known, lambda what, rows: None) == 2
    found = good(caller.get(f"{NOTES}/{made['id']}"))
    assert {each["text"] for each in found["versions"]} == {"[redacted]"}
    assert good(caller.get(f"{NOTES}?invoice=in_other"))["data"][0]["text"] == "another customer's"
    assert good(caller.write("in_noted", "She pays on Friday", "k"))["text"] == "[redacted]"  # the retry of a program
    journal.chain()
    assert erasure.preview("cus_noted").notes == 1
