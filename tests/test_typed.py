"""What was typed into a form that could not be sent: kept for who typed it, never sent, shown to nobody else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from invoices import typed
from invoices.models import Pause
from tests.helpers.typed_forms import ADD, hidden, opened, sign_in

TEXT = "the bank is closed, “until Monday” \U0001f3e6 שלום"


@pytest.fixture
def visitor() -> Client:
    """One that is refused a form without the token of its session, as a real one is."""
    return Client(enforce_csrf_checks=True)


def filled_in(page: str) -> bool:
    return "the bank is closed" in page and 'id="not-sent"' in page


class TestALostSession:
    @pytest.fixture(params=["signed out in another tab", "session deleted", "cookies deleted"])
    def lose(self, request: pytest.FixtureRequest) -> Any:
        def lose(visitor: Client) -> None:
            if request.param == "signed out in another tab":
                visitor.post("/admin/logout/", hidden(visitor.get("/admin/").content.decode()))
            elif request.param == "session deleted":
                Session.objects.all().delete()
            else:
                visitor.cookies.clear()

        return lose

    def test_the_form_is_filled_in_again_and_nothing_is_sent(self, visitor: Client, manager: User, lose: Any) -> None:
        fields = opened(visitor, manager)
        lose(visitor)
        answer = visitor.post(ADD, {**fields, "reason": TEXT})
        assert answer["Location"] == "/admin/login/?next=%2Fadmin%2Finvoices%2Fpause%2Fadd%2F"
        page = visitor.get(answer["Location"]).content.decode()
        assert "You are signed out. Nothing was sent. What you typed is kept for you" in page
        assert "the bank is closed" not in page
        sign_in(visitor, manager)
        assert filled_in(visitor.get(ADD).content.decode())
        assert not filled_in(visitor.get(ADD).content.decode())  # once
        assert not Pause.objects.exists()

    def test_it_is_dropped_unseen_when_somebody_else_signs_in(
        self, visitor: Client, manager: User, agent: User, lose: Any
    ) -> None:
        fields = opened(visitor, manager)
        lose(visitor)
        visitor.post(ADD, {**fields, "reason": TEXT})
        sign_in(visitor, agent)
        for path in (ADD, "/admin/"):
            assert "the bank is closed" not in visitor.get(path).content.decode()
        visitor.post("/admin/logout/", hidden(visitor.get("/admin/").content.decode()))
        sign_in(visitor, manager)
        assert "the bank is closed" not in visitor.get(ADD).content.decode()

    def test_a_part_of_a_page_has_the_whole_page_loaded(self, visitor: Client, manager: User, lose: Any) -> None:
        fields = opened(visitor, manager)
        lose(visitor)
        answer = visitor.post(ADD, {**fields, "reason": TEXT}, headers={"HX-Request": "true"})
        assert answer["HX-Refresh"] == "true"
        sign_in(visitor, manager)
        assert filled_in(visitor.get(ADD).content.decode())


class TestAFormOfAnotherSession:
    def test_what_was_typed_is_shown_and_kept(self, visitor: Client, manager: User) -> None:
        fields = opened(visitor, manager)
        visitor.post("/admin/logout/", hidden(visitor.get("/admin/").content.decode()))
        sign_in(visitor, manager)
        answer = visitor.post(ADD, {**fields, "reason": TEXT, "password": "hunter2", "action": "x"})
        page = answer.content.decode()
        assert answer.status_code == 403 and "Nothing was sent" in page and "the bank is closed" in page
        assert f'href="{ADD}"' in page and 'id="nav-sidebar"' in page
        assert "hunter2" not in page and "hunter2" not in str(dict(visitor.session))
        assert filled_in(visitor.get(ADD).content.decode())
        assert not Pause.objects.exists()

    def test_that_of_another_person_is_not_shown(self, visitor: Client, manager: User, agent: User) -> None:
        fields = opened(visitor, manager)
        visitor.post("/admin/logout/", hidden(visitor.get("/admin/").content.decode()))
        sign_in(visitor, agent)
        answer = visitor.post(ADD, {**fields, "reason": TEXT})
        assert answer.status_code == 403 and "the bank is closed" not in answer.content.decode()
        assert "opened by somebody else" in answer.content.decode()
        assert "typed_text" not in visitor.session

    @pytest.mark.parametrize("mark", ["", "x", "\x00", "eyJ1c2VyIjoxfQ:1:x", "x" * 100_000])
    def test_a_form_of_another_site_fills_in_nothing(self, visitor: Client, manager: User, mark: str) -> None:
        sign_in(visitor, manager)
        answer = visitor.post(ADD, {typed.MARK: mark, "reason": TEXT})
        assert answer.status_code == 403 and "This page did not come from the desk" in answer.content.decode()
        assert "the bank is closed" not in answer.content.decode() and "typed_text" not in visitor.session

    def test_without_any_session_nothing_is_kept_either(self, visitor: Client, db: None) -> None:
        answer = visitor.post(ADD, {typed.MARK: "x", "reason": TEXT})
        assert answer.status_code == 403 and "Nothing was sent" in answer.content.decode()
        assert not Session.objects.exists()

    def test_an_old_mark_counts_no_more(self, visitor: Client, manager: User, monkeypatch: Any) -> None:
        fields = opened(visitor, manager)
        visitor.cookies.clear()
        now = time.time()
        monkeypatch.setattr("django.core.signing.time.time", lambda: now + typed.MARK_SECONDS + 1)
        assert visitor.post(ADD, {**fields, "reason": TEXT}).status_code == 403


class TestWhatIsTyped:
    @pytest.mark.parametrize("text", ["\x00\x01", "x" * 30_000, "<script>alert(1)</script>", "</script><b>"])
    def test_anything_does_no_harm(self, visitor: Client, manager: User, text: str) -> None:
        fields = opened(visitor, manager)
        visitor.post("/admin/logout/", hidden(visitor.get("/admin/").content.decode()))
        assert visitor.post(ADD, {**fields, "reason": text, "\x00": text}).status_code == 302
        sign_in(visitor, manager)
        answer = visitor.get(ADD)
        assert answer.status_code == 200 and "<script>alert" not in answer.content.decode()
        assert "</script><b>" not in answer.content.decode()
        assert ('id="not-sent"' in answer.content.decode()) is (len(text) < 20_000)

    def test_too_many_fields_are_refused(self, visitor: Client, manager: User) -> None:
        fields = opened(visitor, manager)
        visitor.cookies.clear()
        answer = visitor.post(ADD, {**fields, **{f"field_{n}": "x" for n in range(1001)}})
        assert answer.status_code == 400 and "This request could not be read" in answer.content.decode()

    def test_all_values_of_a_field_are_kept(self, visitor: Client, manager: User) -> None:
        fields = opened(visitor, manager)
        visitor.cookies.clear()
        visitor.post(ADD, {**fields, "scopes": ["read", "act"], "reason": TEXT})
        sign_in(visitor, manager)
        assert '"scopes": ["read", "act"]' in visitor.get(ADD).content.decode()

    def test_a_form_shown_again_with_its_errors_comes_back_where_it_was_opened(
        self, visitor: Client, manager: User
    ) -> None:
        path = f"{ADD}?from=home"
        fields = opened(visitor, manager, path)
        page = visitor.post(ADD, {**fields, "reason": ""}).content.decode()
        visitor.cookies.clear()
        answer = visitor.post(ADD, {**hidden(page), "reason": TEXT})
        assert answer["Location"].endswith("%3Ffrom%3Dhome")
