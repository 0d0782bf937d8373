"""Error pages: within the desk for whom it admits, plain for everybody else, and 500 without asking the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.template.loader import get_template
from django.test import Client

from backoffice import error_pages
from invoices.admin.invoices import list as invoice_list
from tests.factories import user_in_group

MENU = 'id="nav-sidebar"'
PASSWORD = "a long enough password"


class TestWithinTheDesk:
    def test_an_address_that_is_not_there(self, desk: Client) -> None:
        for path in ("/admin/nothing/", "/admin/invoices/nothing/x/", "/nothing", "/admin/\x00/"):
            answer = desk.get(path)
            page = answer.content.decode()
            assert answer.status_code == 404 and "There is no such page" in page
            assert MENU in page and "/admin/invoices/invoice/" in page

    def test_a_page_that_the_person_may_not_see(self, desk: Client) -> None:
        answer = desk.get("/admin/auth/user/")
        page = answer.content.decode()
        assert answer.status_code == 403 and "Your account may not see this" in page
        assert MENU in page and "/admin/auth/user/" not in page.partition("<body")[2]

    def test_nobody_learns_of_the_desk_without_being_admitted(self, client: Client, agent: User, settings: Any) -> None:
        page = client.get("/nothing").content.decode()
        assert "There is no such page" in page and MENU not in page
        settings.SECOND_FACTOR_REQUIRED = True
        client.force_login(agent)
        page = client.get("/nothing").content.decode()
        assert "There is no such page" in page and MENU not in page

    def test_what_cannot_be_read(self, desk: Client, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 10
        answer = desk.post("/admin/invoices/invoice/", {f"field_{n}": "x" for n in range(11)})
        assert answer.status_code == 400 and "This request could not be read" in answer.content.decode()


class TestOurOwnErrors:
    @pytest.fixture(autouse=True)
    def broken(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("sk_test_secret")

        client.raise_request_exception = False
        monkeypatch.setattr(invoice_list.InvoiceAdmin, "get_queryset", fail)

    def test_it_is_shown_within_the_desk_and_tells_no_secret(self, desk: Client) -> None:
        answer = desk.get("/admin/invoices/invoice/", headers={"X-Request-ID": "0af7651916cd43dd"})
        page = answer.content.decode()
        assert answer.status_code == 500 and "Something broke on our side" in page
        assert MENU in page and "0af7651916cd43dd" in page
        assert "sk_test_secret" not in page and "RuntimeError" not in page

    def test_it_asks_the_database_for_nothing(self, desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        shown = error_pages.server_error

        def count(execute: Any, sql: str, *args: Any) -> Any:
            asked.append(sql)
            return execute(sql, *args)

        def watched(request: Any) -> Any:
            with connection.execute_wrapper(count):
                return shown(request)

        monkeypatch.setattr(error_pages, "server_error", watched)
        assert MENU in desk.get("/admin/invoices/invoice/").content.decode()
        assert asked == []

    def test_it_is_plain_where_nobody_is_signed_in(self, client: Client, db: None, monkeypatch: Any) -> None:
        monkeypatch.setattr("backoffice.sign_in._single_sign_on", _fail)
        answer = client.get("/admin/login/")
        assert answer.status_code == 500 and MENU not in answer.content.decode()
        assert "Something broke on our side" in answer.content.decode()

    def test_it_is_plain_while_the_database_is_away(self, desk: Client, monkeypatch: Any) -> None:
        def away(*args: Any, **kwargs: Any) -> None:
            raise OperationalError("connection refused")

        monkeypatch.setattr("backoffice.sign_in.Backend.get_user", away)
        answer = desk.get("/admin/")
        assert answer.status_code == 500 and MENU not in answer.content.decode()
        assert "Something broke on our side" in answer.content.decode()


def _fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("broken")


class TestTheWayIn:
    def test_the_bare_address_leads_in(self, client: Client, agent: User) -> None:
        assert client.get("/")["Location"] == "/admin/"
        assert client.get("/", follow=True).redirect_chain[-1][0] == "/admin/login/?next=/admin/"
        client.force_login(agent)
        assert client.get("/", follow=True).status_code == 200

    def test_a_wrong_password_is_said_once(self, client: Client, agent: User) -> None:
        page = client.post("/admin/login/", {"username": agent.username, "password": "wrong"}).content.decode()
        assert page.count("errornote") == 1 and "Please correct the error" not in page
        assert page.count("correct username and password") == 1
        assert f'value="{agent.username}"' in page

    def test_a_field_left_empty_is_said_beside_it(self, client: Client, db: None) -> None:
        page = client.post("/admin/login/", {"username": "", "password": ""}).content.decode()
        assert page.count("This field is required.") == 2 and "errornote" not in page

    def test_one_who_is_no_member_of_the_staff_is_told_once(self, client: Client, db: None) -> None:
        person = user_in_group("outsider", "Support agent")
        User.objects.filter(pk=person.pk).update(is_staff=False)
        page = client.post("/admin/login/", {"username": "outsider", "password": PASSWORD}).content.decode()
        assert page.count("errornote") == 1


def test_every_template_can_be_read() -> None:
    """A filter or a tag that a template does not load is found only by the page that needs it, as an error 500."""
    folder = Path(settings.BASE_DIR) / "templates"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in {".html", ".txt"})
    assert len(names) > 40
    for name in names:
        get_template(name)
