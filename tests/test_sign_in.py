"""Signing in as a thief would try it: without the second factor, round it, by guessing, with an old session."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from backoffice import lockouts
from invoices import second_factor, sign_ins, tasks
from invoices.models import ApiToken, Operation, Pause, SignInRecord
from tests.factories import user_in_group
from tests.helpers.factors import PASSWORD, App, enrolled, password_step, recovery_codes, signed_in

pytestmark = pytest.mark.django_db
What = SignInRecord.What


def said(what: str) -> list[SignInRecord]:
    return list(SignInRecord.objects.filter(what=what).order_by("pk"))


def is_admitted(client: Client) -> bool:
    answer = client.get("/admin/")
    if answer.status_code == 200:
        return True
    assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/")
    return False


@pytest.fixture
def required(settings: Any) -> None:
    settings.SECOND_FACTOR_REQUIRED = True


class TestSecondFactor:
    @pytest.mark.django_db(transaction=True)  # allauth tells of a new factor after the commit
    def test_nothing_is_shown_before_one_was_added(self, client: Client, agent: User, required: None) -> None:
        Pause.objects.create(action="void", reason="a secret of the desk", paused_by=agent)
        answer = password_step(client, agent)
        assert answer["Location"] == "/admin/"
        assert not is_admitted(client)
        for path in ("/admin/invoices/invoice/", "/admin/password_change/", "/admin/auth/user/"):
            assert client.get(path).status_code == 302
        answer = client.get("/admin/login/?next=/admin/invoices/invoice/")
        assert answer["Location"] == "/account/second-factor/"
        page = client.get(answer["Location"]).content.decode()
        assert "Add an authenticator app" in page and "a secret of the desk" not in page
        page = client.get("/account/second-factor/app/add/").content.decode()
        app = App(re.search(r'id="secret">(\w+)<', page)[1])  # type: ignore[index]
        answer = client.post("/account/second-factor/app/add/", {"code": app.code()}, follow=True)
        assert "Your recovery codes" in answer.content.decode()
        assert client.get("/account/second-factor/done/")["Location"] == "/admin/invoices/invoice/"
        assert is_admitted(client)
        assert {record.detail for record in said(What.FACTOR_ADDED)} == {"recovery codes", "authenticator app"}

    def test_the_password_alone_signs_nobody_in_who_has_one(self, client: Client, agent: User) -> None:
        app = enrolled(agent)
        answer = password_step(client, agent)
        assert answer["Location"] == "/account/second-factor/sign-in/"
        assert "_auth_user_id" not in client.session
        assert not is_admitted(client)
        answer = client.post("/account/second-factor/sign-in/", {"code": "000000"})
        assert "not right" in answer.content.decode()
        assert said(What.FACTOR_FAILED)
        client.post("/account/second-factor/sign-in/", {"code": app.code()})
        assert is_admitted(client)
        assert said(What.SIGNED_IN)[-1].detail == "with a password and a second factor"

    def test_a_session_of_before_sees_nothing_and_cannot_take_the_factor_away(self, agent: User) -> None:
        thief = Client()
        password_step(thief, agent)
        assert is_admitted(thief)
        enrolled(agent)
        assert not is_admitted(thief)
        answer = thief.get("/admin/login/?next=/admin/")
        assert answer["Location"].startswith("/account/second-factor/confirm/")
        for path in ("", "app/remove/", "app/add/", "codes/", "codes/new/", "passkeys/", "passkeys/add/"):
            for answer in (thief.get(f"/account/second-factor/{path}"), thief.post(f"/account/second-factor/{path}")):
                assert answer.status_code == 302 and "/confirm/" in answer["Location"], path
        answer = thief.get("/account/confirm-password/?next=/admin/")
        assert answer["Location"].startswith("/account/second-factor/confirm/")
        thief.post("/account/confirm-password/?next=/admin/", {"password": PASSWORD})
        assert not is_admitted(thief)
        assert second_factor.has_factor(User.objects.get(pk=agent.pk))

    def test_what_one_proved_is_not_the_next_ones(self, agent: User, manager: User, required: None) -> None:
        client = signed_in(agent, enrolled(agent))
        password_step(client, manager)
        assert not is_admitted(client)

    def test_a_code_opens_once(self, agent: User) -> None:
        app = enrolled(agent)
        code = app.code()
        for expected in (True, False):
            client = Client()
            password_step(client, agent)
            client.post("/account/second-factor/sign-in/", {"code": code})
            assert is_admitted(client) is expected

    def test_a_recovery_code_opens_once_and_is_on_record(self, agent: User) -> None:
        enrolled(agent)
        code = recovery_codes(agent)[0]
        for expected in (True, False):
            client = Client()
            password_step(client, agent)
            client.post("/account/second-factor/sign-in/", {"code": code})
            assert is_admitted(client) is expected
        assert [record.detail for record in said(What.FACTOR_CONFIRMED)] == ["recovery codes"]

    def test_secrets_are_stored_encrypted(self, agent: User) -> None:
        app = enrolled(agent)
        assert app.secret not in str(list(Authenticator.objects.values_list("data", flat=True)))

    def test_removing_ones_own_needs_it_freshly(self, agent: User, later_session: Any, required: None) -> None:
        app = enrolled(agent)
        client = signed_in(agent, app)
        later_session(client, 3600 / 2)
        answer = client.post("/account/second-factor/app/remove/")
        assert "/account/second-factor/confirm/" in answer["Location"]
        assert Authenticator.objects.filter(user=agent, type="totp").exists()
        client.post("/account/second-factor/confirm/", {"code": app.code(1)})
        client.post("/account/second-factor/app/remove/")
        assert not Authenticator.objects.filter(user=agent).exists()
        assert not is_admitted(client)
        assert said(What.FACTOR_REMOVED)

    def test_tokens_need_none(self, agent: User, required: None) -> None:
        _, key = ApiToken.objects.create(agent, name="mine")
        answer = Client().get("/v1/invoices", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200

    def test_nothing_else_of_allauth_is_there(self, client: Client) -> None:
        for path in ("signup/", "email/", "password/reset/", "password/change/", "3rdparty/", "2fa/", "provider/x/"):
            assert client.get(f"/account/{path}").status_code == 404, path

    def test_a_service_user_adds_none(self, client: Client) -> None:
        service = user_in_group("robot", "Service")
        client.force_login(service)
        assert client.get("/account/second-factor/")["Location"].startswith("/admin/login/")


@pytest.fixture
def later_session() -> Any:
    """Makes what a session remembers so many seconds older."""

    def age(client: Client, seconds: float) -> None:
        session = client.session
        for name in ("signed_in_at", "seen_at"):
            if name in session:
                session[name] -= seconds
        if proved := session.get("second_factor"):
            session["second_factor"] = {**proved, "at": proved["at"] - seconds}
            Authenticator.objects.update(created_at=timezone.now() - timedelta(days=1))
        for record in session.get("account_authentication_methods", []):
            record["at"] -= seconds
        session.save()

    return age


class TestLost:
    def test_a_manager_resets_that_of_another(self, agent: User, manager: User, auditor: User) -> None:
        app = enrolled(agent)
        victim = signed_in(agent, app)
        client = Client()
        client.force_login(manager)
        page = client.get(f"/admin/auth/user/{agent.pk}/second-factor/").content.decode()
        assert "authenticator app, recovery codes" in page and "call back" in page
        assert "agent" in client.get("/admin/auth/user/second-factors/").content.decode()
        assert "Please say why" in client.post(f"/admin/auth/user/{agent.pk}/second-factor/").content.decode()
        client.post(f"/admin/auth/user/{agent.pk}/second-factor/", {"reason": "lost telephone"})
        assert not second_factor.has_factor(agent)
        record = said(What.FACTORS_RESET)[0]
        assert (record.username, record.by, record.reason) == ("agent", "manager", "lost telephone")
        enrolled(agent)
        assert not is_admitted(victim)  # what it proved was of the factor that is gone
        client.force_login(auditor)
        assert client.get("/admin/auth/user/second-factors/").status_code == 403

    def test_nobody_resets_her_own_or_that_of_who_may_more(self, manager: User) -> None:
        root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
        for user in (manager, root):
            enrolled(user)
            with pytest.raises(PermissionDenied):
                second_factor.reset(user, by=manager, reason="mine")
        with pytest.raises(PermissionDenied):
            second_factor.reset(root, by=root, reason="mine")
        assert Authenticator.objects.count() == 4

    def test_the_last_administrator_is_helped_by_a_command(self) -> None:
        root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
        enrolled(root)
        with pytest.raises(CommandError):
            call_command("reset_second_factor", "root", reason=" ")
        out = StringIO()
        call_command("reset_second_factor", "root", reason="lost", stdout=out)
        assert "2 second factors" in out.getvalue()
        assert "@" in said(What.FACTORS_RESET)[0].by


class TestFresh:
    def test_what_was_typed_comes_back_and_nothing_is_done_by_itself(
        self, manager: User, later_session: Any, required: None
    ) -> None:
        app = enrolled(manager)
        client = signed_in(manager, app)
        later_session(client, 1800)
        answer = client.post("/admin/invoices/apitoken/add/", {"name": "the shop", "days": "30", "user": manager.pk})
        assert answer["Location"] == "/account/second-factor/confirm/?next=%2Fadmin%2Finvoices%2Fapitoken%2Fadd%2F"
        answer = client.post(
            "/account/second-factor/confirm/", {"code": app.code(1), "next": "/admin/invoices/apitoken/add/"}
        )
        assert answer["Location"] == "/admin/invoices/apitoken/add/"
        assert not ApiToken.objects.exists()
        page = client.get("/admin/invoices/apitoken/add/").content.decode()
        assert '"name": ["the shop"]' in page and "csrfmiddlewaretoken" not in page.partition("typed-text")[2][:300]
        assert "the shop" not in client.get("/admin/invoices/apitoken/add/").content.decode()  # once
        typed = {"name": "the shop", "days": "30", "user": manager.pk, "scopes": "read"}
        client.post("/admin/invoices/apitoken/add/", typed)
        assert ApiToken.objects.get().name == "the shop"
        assert said(What.TOKEN_MADE)[0].by == "manager"

    @pytest.mark.parametrize("path", ["/admin/invoices/apitoken/add/", "/admin/invoices/pause/add/"])
    def test_who_has_none_adds_one_where_it_is_required(self, manager: User, path: str, settings: Any) -> None:
        client = Client()
        client.force_login(manager)
        assert client.post(path, {"reason": ""}).status_code == 200  # not required here
        settings.SECOND_FACTOR_REQUIRED = True
        assert client.post(path, {}).status_code == 302

    def test_an_approval_needs_it(self, manager: User, agent: User, later_session: Any) -> None:
        app = enrolled(manager)
        client = signed_in(manager, app)
        later_session(client, 1800)
        operation = Operation.objects.create(
            action="void", invoice="in_1", actor=agent, source="admin", state="awaiting_approval"
        )
        for verdict, asked in (("approve", True), ("reject", False)):
            answer = client.post(f"/admin/invoices/operation/{operation.pk}/decide/{verdict}/", {"reason": "seen"})
            assert ("/confirm/" in answer["Location"]) is asked


class TestLockouts:
    def fail(self, client: Client, name: str, times: int, address: str = "198.51.100.7") -> Any:
        for number in range(times):
            answer = client.post(
                "/admin/login/", {"username": name, "password": f"wrong {number}"}, REMOTE_ADDR=address
            )
        return answer

    def test_five_failures_lock_the_pair_for_a_while(self, agent: User, monkeypatch: Any) -> None:
        client = Client()
        assert "correct" in self.fail(client, "agent", 4).content.decode()
        answer = self.fail(client, "agent", 1)
        assert answer.status_code == 429 and "Too many attempts" in answer.content.decode()
        answer = client.post("/admin/login/", {"username": "agent", "password": PASSWORD}, REMOTE_ADDR="198.51.100.7")
        assert answer.status_code == 429
        assert len(said(What.FAILED)) == 5 and len(said(What.LOCKED)) == 1
        assert said(What.LOCKED)[0].address == "198.51.100.7"
        now = timezone.now()
        monkeypatch.setattr(lockouts.timezone, "now", lambda: now + timedelta(minutes=11))
        answer = client.post("/admin/login/", {"username": "agent", "password": PASSWORD}, REMOTE_ADDR="198.51.100.7")
        assert answer.status_code == 302

    def test_an_office_is_not_locked_out(self, agent: User, manager: User) -> None:
        self.fail(Client(), "agent", 6)
        answer = Client().post(
            "/admin/login/", {"username": "manager", "password": PASSWORD}, REMOTE_ADDR="198.51.100.7"
        )
        assert answer.status_code == 302

    def test_the_owners_browser_is_never_kept_out_by_others(self, agent: User) -> None:
        owner = Client()
        password_step(owner, agent)
        owner.post("/admin/logout/")
        for number in range(7):
            self.fail(Client(), "agent", 5, address=f"198.51.100.{number}")
        assert password_step(Client(), agent).status_code == 429  # anywhere else
        assert password_step(owner, agent).status_code == 302
        owner.post("/admin/logout/")
        assert self.fail(owner, "agent", 5).status_code == 429  # the cookie alone guesses no more than others do

    def test_a_forged_or_foreign_cookie_is_worth_nothing(self, agent: User, manager: User) -> None:
        other = Client()
        password_step(other, manager)
        other.post("/admin/logout/")
        assert self.fail(other, "agent", 5).status_code == 429
        other.cookies[lockouts.COOKIE] = "W1siYWdlbnQiLCJ4Il1d:1:forged"
        assert password_step(other, agent, REMOTE_ADDR="198.51.100.7").status_code == 429

    def test_wrong_codes_are_counted_in_the_database(self, agent: User) -> None:
        app = enrolled(agent)
        for _ in range(5):
            client = Client()
            password_step(client, agent)
            client.post("/account/second-factor/sign-in/", {"code": "000000"})
        answer = client.post("/account/second-factor/sign-in/", {"code": app.code()})
        assert "Too many wrong codes" in answer.content.decode()
        assert not is_admitted(client)

    def test_codes_that_come_at_the_same_time_are_no_more_than_the_limit(self, agent: User, monkeypatch: Any) -> None:
        app = enrolled(agent)
        client = Client()
        password_step(client, agent)
        monkeypatch.setattr(lockouts, "is_locked", lambda request, name: False)  # as all of them were told
        for _ in range(5):
            client.post("/account/second-factor/sign-in/", {"code": "000000"})
        answer = client.post("/account/second-factor/sign-in/", {"code": app.code()})
        assert "Too many wrong codes" in answer.content.decode()

    def test_the_table_does_not_grow_with_browsers(self, agent: User) -> None:
        for number in range(4):
            Client().post(
                "/admin/login/", {"username": "agent", "password": "x"}, headers={"User-Agent": f"browser {number}"}
            )
        assert lockouts.AccessAttempt.objects.count() == 1

    @pytest.mark.parametrize(
        ("typed", "kept"),
        [
            ("jane.doe", "jane.doe"),
            ("jane@example.com", "jane@example.com"),
            ("Tr0ub4dor&3xyz!", "T… (15 characters; may be a password)"),
            ("correct horse battery", "c… (21 characters; may be a password)"),
            ("", "(nothing)"),
        ],
    )
    def test_a_password_typed_as_a_name_is_not_kept(self, typed: str, kept: str) -> None:
        assert sign_ins.masked_name(typed) == kept


class TestSessions:
    def test_it_ends_after_a_time_without_a_page(self, agent: User, later_session: Any, settings: Any) -> None:
        client = Client()
        password_step(client, agent)
        later_session(client, settings.SESSION_IDLE_MINUTES * 60 + 1)
        answer = client.get("/admin/invoices/invoice/?state=open")
        assert answer["Location"] == "/admin/login/?next=%2Fadmin%2Finvoices%2Finvoice%2F%3Fstate%3Dopen"
        assert "You were signed out after 60 minutes" in client.get(answer["Location"]).content.decode()
        assert said(What.SESSION_ENDED)[0].username == "agent" and not said(What.SIGNED_OUT)

    def test_a_page_that_refreshes_itself_keeps_no_session(self, agent: User, later_session: Any) -> None:
        client = Client()
        password_step(client, agent)
        later_session(client, 50 * 60)
        client.get("/admin/", headers={"HX-Request": "true"})
        later_session(client, 11 * 60)
        assert not is_admitted(client)

    def test_it_ends_some_hours_after_the_sign_in(self, agent: User, later_session: Any, settings: Any) -> None:
        client = Client()
        password_step(client, agent)
        session = client.session
        session["signed_in_at"] -= settings.SESSION_HOURS * 3600 + 1
        session.save()
        assert not is_admitted(client)

    def test_what_was_typed_is_kept_for_the_same_person(self, manager: User, agent: User, later_session: Any) -> None:
        for person, kept in ((manager, True), (agent, False)):
            client = Client()
            password_step(client, manager)
            later_session(client, 7200)
            client.post("/admin/invoices/pause/add/", {"reason": "a long text"})
            password_step(client, person)
            assert ("a long text" in client.get("/admin/invoices/pause/add/").content.decode()) is kept

    def test_it_ends_with_the_password_and_with_the_account(self, agent: User) -> None:
        client = Client()
        password_step(client, agent)
        agent.set_password("quite another sentence")
        agent.save()
        assert not is_admitted(client)
        client.force_login(agent)
        User.objects.filter(pk=agent.pk).update(is_active=False)
        assert not is_admitted(client)

    def test_an_old_session_adds_no_factor_without_the_password(self, agent: User, required: None) -> None:
        client = Client()
        password_step(client, agent)
        session = client.session
        del session["signed_in_at"]  # of a version that did not keep it
        session.save()
        assert "/account/confirm-password/" in client.get("/account/second-factor/app/add/")["Location"]
        client.post("/account/confirm-password/?next=/account/second-factor/app/add/", {"password": PASSWORD})
        assert client.get("/account/second-factor/app/add/").status_code == 200

    def test_rows_of_ended_sessions_are_deleted(self, agent: User) -> None:
        password_step(Client(), agent)
        assert Session.objects.count() == 1
        Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
        tasks.clear_sessions()
        assert not Session.objects.exists()


class TestPasswords:
    @pytest.mark.parametrize(
        "password",
        ["agentagent", "Agent-Agent1", "qwertzuiop12", "asdfghjkl123", "P@ssw0rd2026", "Invoice2026!", "janedoe1234",
         "abcabcabcabc", "1234567890", "aaaaaaaaaaaa", "jane.doe@example"],
    )  # fmt: skip
    def test_guessable_ones_are_refused(self, password: str) -> None:
        jane = User(username="jane.doe", email="jane.doe@example.com", first_name="Jane", last_name="Doe")
        with pytest.raises(ValidationError):
            validate_password(password, jane)

    @pytest.mark.parametrize("password", ["Hk3-uW9x_Qz2", "correct horse battery", PASSWORD, "tulip-engine-17-rain"])
    def test_others_are_taken(self, password: str) -> None:
        validate_password(password, User(username="agent"))


class TestJournal:
    def test_changes_of_users_and_groups_are_on_record(self) -> None:
        root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
        agent = user_in_group("agent", "Support agent")
        client = Client()
        client.force_login(root)
        group = Group.objects.get(name="Billing manager")
        fields = {
            "username": "agent", "email": "new@example.com", "is_active": "on", "groups": [group.pk],
            "date_joined_0": "2026-01-01", "date_joined_1": "10:00:00", "first_name": "", "last_name": "",
        }  # fmt: skip
        answer = client.post(f"/admin/auth/user/{agent.pk}/change/", fields)
        assert answer.status_code == 302
        details = [record.detail for record in said(What.USER_CHANGED) if record.by == "root"]
        assert "e-mail: agent@example.com → new@example.com; staff status taken away" in details
        assert "group “Billing manager” given" in details and "group “Support agent” taken away" in details
        assert all(record.request_id for record in said(What.USER_CHANGED) if record.by == "root")
        group.permissions.remove(*group.permissions.filter(codename="pause_actions"))
        assert said(What.GROUP_CHANGED)[-1].detail == "“Billing manager”: permission “pause_actions” taken away"
        agent = User.objects.get(pk=agent.pk)
        agent.set_password("quite another sentence")
        agent.save()
        assert said(What.USER_CHANGED)[-1].detail == "password changed"

    def test_the_auditor_sees_and_exports_it(self, auditor: User, agent: User) -> None:
        client = Client()
        client.force_login(agent)
        assert client.get("/admin/invoices/signinrecord/").status_code == 403
        assert client.get("/admin/invoices/signinrecord/download.csv").status_code == 403
        for name in ("=cmd", "nobody"):
            Client().post("/admin/login/", {"username": name, "password": "x"})
        client.force_login(auditor)
        page = client.get("/admin/invoices/signinrecord/?what=failed").content.decode()
        assert "nobody" in page
        answer = client.get("/admin/invoices/signinrecord/download.csv?what=failed")
        lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == 3 and "nobody" in lines[1] and "'=…" in lines[2]
        assert said(What.LIST_DOWNLOADED)[0].username == "auditor"
        assert said(What.LIST_DOWNLOADED)[0].detail == "Sign-ins as CSV: What: Sign-in failed"
        record = said(What.FAILED)[0]
        assert "Sign-in failed" in client.get(f"/admin/invoices/signinrecord/{record.pk}/").content.decode()

    def test_home_shows_the_sign_in_before_this(self, agent: User) -> None:
        client = Client()
        password_step(client, agent, REMOTE_ADDR="203.0.113.9")
        assert "first sign-in" in client.get("/admin/").content.decode()
        password_step(client, agent)
        assert "203.0.113.9" in client.get("/admin/").content.decode()

    def test_a_flood_of_failures_is_not_written_for_ever(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(sign_ins, "MAX_FAILURES_RECORDED", 3)
        for number in range(5):
            Client().post("/admin/login/", {"username": f"name{number}", "password": "x"})
        assert len(said(What.FAILED)) == 3


class TestAtTheSameTime:
    def test_an_older_code_of_the_app_opens_nothing_after_a_later_one(self, agent: User) -> None:
        app = enrolled(agent)
        older, later = app.code(-1), app.code()
        for code, expected in ((older, True), (later, True), (older, False)):
            cache.clear()  # another process: allauth's own check is of one process alone
            client = Client()
            password_step(client, agent)
            client.post("/account/second-factor/sign-in/", {"code": code})
            assert is_admitted(client) is expected

    @pytest.mark.django_db(transaction=True)  # allauth tells of a new factor after the commit
    def test_the_code_that_added_the_app_signs_nobody_in(self, agent: User) -> None:
        client = Client()
        password_step(client, agent)
        page = client.get("/account/second-factor/app/add/").content.decode()
        code = App(re.search(r'id="secret">(\w+)<', page)[1]).code()  # type: ignore[index]
        client.post("/account/second-factor/app/add/", {"code": code})
        assert is_admitted(client)
        thief = Client()
        password_step(thief, agent)
        thief.post("/account/second-factor/sign-in/", {"code": code})
        assert not is_admitted(thief)

    def test_a_recovery_code_is_looked_at_under_a_lock(self, agent: User, monkeypatch: Any) -> None:
        enrolled(agent)
        code = recovery_codes(agent)[0]
        client = Client()
        password_step(client, agent)
        locked: list[Any] = []
        lock, check = QuerySet.select_for_update, RecoveryCodes.validate_code

        def note(self: Any, *args: Any, **kwargs: Any) -> Any:
            locked.append(self.model)
            return lock(self, *args, **kwargs)

        def checked(self: Any, code: str) -> Any:
            assert locked == [Authenticator]
            return check(self, code)

        monkeypatch.setattr(QuerySet, "select_for_update", note)
        monkeypatch.setattr(RecoveryCodes, "validate_code", checked)
        client.post("/account/second-factor/sign-in/", {"code": code})
        assert is_admitted(client)

    def test_passwords_are_no_more_than_the_limit(self, agent: User, monkeypatch: Any) -> None:
        monkeypatch.setattr(lockouts, "is_locked", lambda request, name: False)  # as all of them were told
        for _ in range(5):
            assert password_step(Client(), agent, "wrong").status_code in (200, 429)
        assert password_step(Client(), agent).status_code == 429  # the right one, and not looked at
        assert len(said(What.LOCKED)) == 1

    def test_a_right_password_counts_as_no_failure(self, agent: User) -> None:
        enrolled(agent)
        for _ in range(7):
            assert password_step(Client(), agent)["Location"] == "/account/second-factor/sign-in/"


def test_no_password_is_kept_of_what_was_typed(agent: User, later_session: Any) -> None:
    client = Client()
    password_step(client, agent)
    later_session(client, 7200)
    typed = {"old_password": PASSWORD, "new_password1": "a new sentence", "new_password2": "a new sentence"}
    client.post("/admin/password_change/", typed)
    assert "new+sentence" not in str(dict(client.session)) and "new sentence" not in str(dict(client.session))
    password_step(client, agent)
    assert "a new sentence" not in client.get("/admin/password_change/").content.decode()


def test_the_password_alone_does_not_open_the_description_of_the_api(
    agent: User, required: None, settings: Any
) -> None:
    settings.INTERNAL_PAGES_OPEN = False
    client = Client()
    password_step(client, agent)
    assert [client.get(path).status_code for path in ("/api/docs/", "/api/schema/")] == [403, 403]


def test_after_the_secret_key_was_replaced_the_page_says_what_to_do(agent: User, settings: Any) -> None:
    app = enrolled(agent)
    settings.SECRET_KEY = "another key, which the second factors were not encrypted with"
    client = Client()
    password_step(client, agent)
    answer = client.post("/account/second-factor/sign-in/", {"code": app.code()})
    assert answer.status_code == 200 and "to reset it" in answer.content.decode()
    assert not is_admitted(client)


def test_a_new_password_ends_a_sign_in_that_waits_for_its_factor(agent: User) -> None:
    app = enrolled(agent)
    thief = Client()
    password_step(thief, agent)
    agent.set_password("quite another sentence")
    agent.save()
    answer = thief.post("/account/second-factor/sign-in/", {"code": app.code()})
    assert "The password was changed since" in answer.content.decode()
    assert not is_admitted(thief)
    thief.post("/account/cancel/")
    password_step(thief, agent, "quite another sentence")
    thief.post("/account/second-factor/sign-in/", {"code": app.code()})
    assert is_admitted(thief)


@pytest.mark.parametrize(("language", "words"), [("en", "Signed out"), ("de", "Abgemeldet")])
def test_the_page_after_signing_out_is_the_desks_own(client: Client, agent: User, language: str, words: str) -> None:
    client.force_login(agent)
    found = client.post("/admin/logout/", headers={"Accept-Language": language}).content.decode()
    assert f"<h1>{words}</h1>" in found and 'href="/admin/"' in found and "quality time" not in found
