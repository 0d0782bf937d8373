"""Saved views of lists: saving, opening, sharing, renaming and deleting one, and what becomes of a stale one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from invoices import erasure
from invoices.admin import saved_views
from invoices.models import SavedView, personal
from tests.factories import InvoiceObject, stored, user_in_group
from tests.helpers.admin_pages import LIST, page_after, text

pytestmark = pytest.mark.django_db
VIEWS = f"{LIST}views/"


def save(client: Client, name: str = "My overdue", query: str = "state=overdue&currency=usd", **given: str) -> Any:
    return client.post(VIEWS, {"name": name, "query": query, **given})


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def made(owner: User, name: str = "Theirs", query: str = "state=open", **given: Any) -> SavedView:
    return SavedView.objects.create(owner=owner, list="invoice", name=name, query=query, **given)


def test_what_the_list_shows_is_saved_and_shown_again(desk: Client, agent: User) -> None:
    stored(InvoiceObject(status="paid", number="PAID-1"))
    stored(InvoiceObject(status="open", number="OPEN-1"))
    shown = text(desk.get(f"{LIST}?state=paid&after=2024-05-01T12:00:00.000000~in_1&currency="))
    assert 'name="query" value="state=paid"' in shown
    page = page_after(desk, save(desk, "Done", "state=paid"))
    assert "Saved as “Done”" in page and "PAID-1" in page
    view = SavedView.objects.get()
    assert (view.owner, view.list, view.query, view.shared) == (agent, "invoice", "state=paid", False)
    whole_list = text(desk.get(LIST))
    assert f'<a href="{VIEWS}{view.pk}/">Done</a>' in whole_list
    opened: Any = desk.get(f"{VIEWS}{view.pk}/", follow=True)
    assert opened.redirect_chain == [(f"{LIST}?state=paid", 302)]
    assert "PAID-1" in text(opened) and "OPEN-1" not in text(opened)
    assert f'<a href="{VIEWS}{view.pk}/" aria-current="page">Done</a>' in text(opened)


def test_each_person_has_views_of_their_own(desk: Client, agent: User) -> None:
    other = user_in_group("other", "Support agent")
    view = made(other)
    assert "Theirs" not in text(desk.get(LIST))
    answer: Any = desk.get(f"{VIEWS}{view.pk}/", follow=True)
    assert "This view is not here any more" in text(answer)
    assert desk.get(f"{VIEWS}{view.pk}/change/").status_code == 404
    assert desk.post(f"{VIEWS}{view.pk}/delete/").status_code == 404
    assert SavedView.objects.filter(pk=view.pk, name="Theirs").exists()


def test_a_manager_shares_a_view_and_everybody_sees_who_did(desk: Client, manager: User) -> None:
    save(signed_in(manager), "Month", "state=open", shared="on")
    view = SavedView.objects.get()
    assert view.shared
    page = text(desk.get(LIST))
    assert f'<a href="{VIEWS}{view.pk}/">Month</a> <small>shared by manager</small>' in page
    assert desk.get(f"{VIEWS}{view.pk}/").status_code == 302
    assert desk.get(f"{VIEWS}{view.pk}/change/").status_code == 403
    assert desk.post(f"{VIEWS}{view.pk}/delete/").status_code == 403
    assert desk.post(f"{VIEWS}{view.pk}/change/", {"name": "Mine now"}).status_code == 403
    assert SavedView.objects.get().name == "Month"


def test_an_agent_shares_nothing_unless_allowed(desk: Client, agent: User) -> None:
    assert "Share with everybody" not in text(desk.get(LIST))
    save(desk, shared="on")
    assert not SavedView.objects.get().shared
    agent.user_permissions.add(Permission.objects.get(codename="share_savedview"))
    save(desk, "Another", shared="on")
    assert SavedView.objects.get(name="Another").shared


def test_managers_tidy_up_what_others_shared(manager: User, agent: User) -> None:
    view, client = made(agent, shared=True), signed_in(manager)
    page = page_after(client, client.post(f"{VIEWS}{view.pk}/change/", {"name": "Theirs"}))
    assert "The view is called “Theirs”." in page
    view.refresh_from_db()
    assert not view.shared and view.owner == agent
    assert client.post(f"{VIEWS}{view.pk}/delete/").status_code == 404  # it is the agent's alone now


def test_a_view_is_renamed_and_deleted(desk: Client, agent: User) -> None:
    view = made(agent, "Old")
    form = text(desk.get(f"{VIEWS}{view.pk}/change/"))
    assert 'value="Old"' in form
    assert "“New”" in page_after(desk, desk.post(f"{VIEWS}{view.pk}/change/", {"name": " New "}))
    assert "is deleted" in page_after(desk, desk.post(f"{VIEWS}{view.pk}/delete/"))
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "Please give the view a name."),
        ("   ", "Please give the view a name."),
        ("x" * 61, "at most 60 characters"),
        ("\x00", "Null characters are not allowed."),
        ("a\u202eb", "please remove U+202E"),
        ("a\x07b", "please remove U+0007"),
    ],
)
def test_a_name_that_cannot_be_stays_beside_the_sentence(desk: Client, name: str, sentence: str) -> None:
    answer = save(desk, name)
    assert answer.status_code == 400 and sentence in text(answer)
    assert 'value="currency=usd&amp;state=overdue"' in text(answer) or "state=overdue" in text(answer)
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("name", ["=1+1", "<script>alert(1)</script>", "مفتوحة", "👩‍💻 mine", "x" * 60])
def test_any_name_that_can_be_shown_is_one(desk: Client, name: str) -> None:
    assert save(desk, name).status_code == 302
    page = text(desk.get(LIST))
    assert "<script>alert" not in page
    assert SavedView.objects.get().name == name


def test_a_name_is_taken_once_for_each_list(desk: Client, agent: User) -> None:
    assert save(desk, "Mine", "state=open").status_code == 302
    assert save(desk, "Mine", "state=open").status_code == 302  # sent twice
    again = save(desk, "Mine", "state=paid")
    assert again.status_code == 400 and "You have a view of this name already" in text(again)
    assert desk.post("/admin/invoices/customer/views/", {"name": "Mine", "query": ""}).status_code == 302
    assert SavedView.objects.count() == 2
    other = made(agent, "Other")
    renamed = desk.post(f"{VIEWS}{other.pk}/change/", {"name": "Mine"})
    assert renamed.status_code == 400 and "a view of this name already" in text(renamed)


@pytest.mark.parametrize("query", ["nothing=1", "status__exact=open", 'q=status:"open', "q=total>x"])
def test_what_cannot_be_read_is_not_saved(desk: Client, query: str) -> None:
    answer = save(desk, query=query)
    assert answer.status_code == 400 and "It was not saved." in text(answer)
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("query", ["nothing=1", "q=total>x"])
def test_a_stale_view_says_that_it_is_one(desk: Client, agent: User, query: str) -> None:
    view = made(agent, "Stale", query)
    answer: Any = desk.get(f"{VIEWS}{view.pk}/", follow=True)
    assert "The view “Stale” cannot be shown as it was saved." in text(answer)
    assert answer.redirect_chain == [(LIST, 302)]


@pytest.mark.parametrize("query", ["q=%00", "state=%00", "%00=1", "q=%ff%fe", "x" * 2001, "&&&==", "after=%00"])
def test_no_query_breaks_a_view(desk: Client, query: str) -> None:
    answer = save(desk, query=query)
    assert answer.status_code in (302, 400)
    if answer.status_code == 302:
        assert desk.get(f"{VIEWS}{SavedView.objects.get().pk}/", follow=True).status_code == 200


def test_a_view_leads_nowhere_but_to_its_list(desk: Client) -> None:
    answer = save(desk, query="//evil.example/?state=open")
    assert answer.status_code == 400 or answer["Location"].startswith(LIST)


def test_views_are_not_without_end(desk: Client, agent: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MAX_VIEWS", 2)
    assert [save(desk, f"View {number}").status_code for number in range(3)] == [302, 302, 400]


def test_who_may_not_see_the_list_learns_of_no_view(client: Client, agent: User) -> None:
    view = made(agent, shared=True)
    client.force_login(User.objects.create_user("newcomer", is_staff=True))
    assert client.get(f"{VIEWS}{view.pk}/").status_code == 403
    assert save(client).status_code == 403
    assert client.post(f"{VIEWS}{view.pk}/delete/").status_code == 403


def test_saving_and_deleting_are_posted(desk: Client, agent: User) -> None:
    view = made(agent)
    assert desk.get(VIEWS).status_code == 405
    assert desk.get(f"{VIEWS}{view.pk}/delete/").status_code == 405
    assert SavedView.objects.exists()


def test_the_views_go_with_their_owner(desk: Client, agent: User) -> None:
    leaver = User.objects.create_user("leaver")
    made(leaver, shared=True)
    leaver.delete()
    assert not SavedView.objects.exists()


def test_many_views_cost_one_query(desk: Client, agent: User, django_assert_max_num_queries: Any) -> None:
    other = user_in_group("other", "Billing manager")
    for number in range(20):
        made(agent, f"Own {number}")
        made(other, f"Shared {number}", shared=True)
    with django_assert_max_num_queries(16):
        page = text(desk.get(LIST))
    assert "Own 19" in page and "Shared 19" in page


def test_managers_are_given_the_permission_to_share() -> None:
    managers = Group.objects.get(name="Billing manager")
    assert managers.permissions.filter(codename="share_savedview").exists()
    assert reverse("admin:invoices_invoice_save_view") == VIEWS


def test_an_erasure_deletes_the_views_that_name_the_customer(agent: User) -> None:
    known = personal.Known()
    known.learn({"object": "customer", "name": "Zoë Quistgaard", "email": "zoe@example.org"})
    made(agent, "For quistgaard")
    made(agent, "By search", "q=zoe%40example.org&state=open")
    made(agent, "By a word", "q=Quistgaard")
    made(agent, "Twice", "q=Quistgaard&q=x")
    made(agent, "Open", "state=open")
    assert erasure._erase_saved_views(known) == 4
    assert [view.name for view in SavedView.objects.all()] == ["Open"]
