"""API tokens and the people behind them: who may make one, who counts as having asked with it, what is kept of it.

Many of these are attempts of a manager alone, or of a thief with a support agent's password.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import uuid
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import ProtectedError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from knox.crypto import hash_token

from invoices import clock, emails, operations, refetch, request_origin, tokens
from invoices.journal.content import _sha256, contents
from invoices.management.demo import users
from invoices.models import ApiToken, Invoice, Operation, Scope, SignInRecord, TokenRecord
from invoices.models.immutable import ImmutableError
from invoices.operations import decisions, requesters
from invoices.operations.requesters import SERVICE_GROUP
from tests.factories import invoice_at, user_in_group
from tests.helpers.admin_pages import text
from tests.helpers.commands import run_command
from tests.helpers.database import queries_of_page
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
NEW = "/admin/invoices/apitoken/add/"
HERE = tokens.Origin(address="203.0.113.7", request_id="req_test")
FORM = "application/x-www-form-urlencoded"
PASSWORD = "a long enough password"


@pytest.fixture
def chief(db: None) -> User:
    return User.objects.create_superuser("chief", "chief@example.com", PASSWORD)


@pytest.fixture
def service(db: None) -> User:
    user = User.objects.create_user("billing-service")
    user.groups.add(Group.objects.get(name=SERVICE_GROUP))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def big(sandbox: SandboxProcess) -> str:
    """An open invoice of USD 2,000.00, above the threshold."""
    invoice = invoice_at(sandbox, 200_000)
    refetch.refetch("invoice", invoice.id)
    return str(invoice.id)


def make(maker: User, user: User, name: str = "billing", **given: Any) -> tuple[ApiToken, str]:
    return tokens.make(
        maker,
        user,
        **{"name": name, "lifetime": timedelta(days=1), "scopes": ["read", "actions"], "origin": HERE, **given},
    )


def give(user: User, *codenames: str) -> User:
    """The user, with these permissions of her own."""
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def ask(key: str, invoice: str, action: str = "void", **headers: str) -> Any:
    headers |= {"Authorization": f"Bearer {key}"}
    return Client().post(f"/v1/invoices/{invoice}/{action}", "", FORM, headers=headers)


def waiting(key: str, invoice: str) -> Operation:
    """What now waits for approval, asked with this key."""
    answer = ask(key, invoice)
    assert answer.json()["error"]["code"] == "approval_required", answer.content
    return Operation.objects.get(pk=answer.json()["error"]["operation"])


def offered(client: Client) -> set[str]:
    chosen = re.search(r'<select name="user".*?</select>', text(client.get(NEW)), re.DOTALL)
    assert chosen is not None
    return set(re.findall(r"<option[^>]*>([^<]+)<", chosen[0]))


def reason_against(person: User, operation: Operation) -> str:
    """Why this person may not decide: the same in the rule, on the page, and when she tries all the same."""
    refusal = requesters.decision_refusal(operation, User.objects.get(pk=person.pk))
    if refusal is None:
        return ""
    client, page = signed_in(person), f"/admin/invoices/operation/{operation.pk}/"
    if operation.actor != person:
        assert refusal.message in text(client.get(page)).replace("&#x27;", "'")
    for verdict in ("approve", "reject"):
        client.post(f"{page}{verdict}/", {"reason": "it is fine", "seen_status": "open", "seen_remaining": "200000"})
        with pytest.raises(operations.Refusal, match=re.escape(refusal.message)):
            getattr(decisions, verdict)(operation.pk, approver=person, reason="it is fine")
    operation.refresh_from_db()
    assert operation.state == State.AWAITING_APPROVAL and operation.approver is None
    return refusal.message


class TestWhoMayMakeOne:
    def test_a_manager_for_herself_alone(self, manager: User, agent: User, service: User, chief: User) -> None:
        client = signed_in(manager)
        assert offered(client) == {"manager"}
        for other in (agent, service, chief):
            answer = client.post(NEW, {"name": "x", "user": other.pk, "days": "30", "scopes": ["read"]})
            assert "A token acts for the one who makes it, or for a service user." in text(answer)
            with pytest.raises(operations.Invalid):
                make(manager, other)
        assert not ApiToken.objects.exists()
        client.post(NEW, {"name": "mine", "user": manager.pk, "days": "30", "scopes": ["read"]})
        token = ApiToken.objects.get()
        assert (token.user, token.created_by) == (manager, manager)

    def test_a_superuser_for_herself_and_for_services(self, chief: User, agent: User, service: User) -> None:
        User.objects.create_user("old-service", is_active=False).groups.add(Group.objects.get(name=SERVICE_GROUP))
        client = signed_in(chief)
        assert offered(client) == {"chief", "billing-service"}
        assert "or for a service user" in text(
            client.post(NEW, {"name": "x", "user": agent.pk, "days": "30", "scopes": ["read"]})
        )
        client.post(NEW, {"name": "x", "user": service.pk, "days": "30", "scopes": ["read"]}, REMOTE_ADDR="203.0.113.7")
        token = ApiToken.objects.get()
        record = token.records.get()
        assert (token.user, token.created_by) == (service, chief)
        assert (record.what, record.by, record.address) == ("created", chief, "203.0.113.7")
        assert record.request_id.startswith("req_") and token.expiry is not None
        assert timedelta(days=29) < token.expiry - clock.now() <= timedelta(days=30)

    def test_for_services_it_is_a_permission_of_its_own(self, manager: User, auditor: User, service: User) -> None:
        assert offered(signed_in(give(manager, "add_service_token"))) == {"manager", "billing-service"}
        # Nobody gives out what she may not do herself.
        assert offered(signed_in(give(auditor, "add_service_token"))) == set()

    def test_others_may_not(self, agent: User, auditor: User) -> None:
        for user in (agent, auditor):
            client = signed_in(user)
            assert client.get(NEW).status_code == 403
            assert client.post(NEW, {"name": "y", "user": user.pk, "days": "1", "scopes": ["read"]}).status_code == 403
        assert not ApiToken.objects.exists()

    def test_no_group_may_make_them_for_services(self, db: None) -> None:
        assert not Group.objects.filter(permissions__codename="add_service_token").exists()


class TestWhatItIsFor:
    def test_the_form_names_each_scope_in_plain_words(self, chief: User, service: User) -> None:
        client = signed_in(chief)
        form = text(client.get(NEW))
        assert re.findall(r'name="scopes" value="(\w+)"', form) == list(tokens.SCOPES)
        for words in ("Act: pay an invoice", "Follow the changes feed", "Decide on what waits for a second person"):
            assert words in form
        assert re.findall(r'value="(\w+)"[^>]* checked', form) == ["read"]
        given = {"name": "dunning", "user": service.pk, "days": "30"}
        assert "Say what the token is for." in text(client.post(NEW, given))
        client.post(NEW, given | {"scopes": ["pay", "read"], "any_stripe_version": "on"})
        token = ApiToken.objects.get()
        assert (token.scopes, token.any_stripe_version) == ("read pay", True)
        page = text(client.get(f"/admin/invoices/apitoken/{token.pk}/"))
        assert "Act: pay an invoice" in page and "read, Pay" in page and "Void" not in page
        shown = text(client.get("/admin/invoices/apitoken/"))
        assert all(f">{scope}</span>" in shown for scope in ("read", "pay")) and "never" in shown

    @pytest.mark.parametrize(
        ("given", "param", "message"),
        [
            ({"scopes": []}, "scopes", "Say what the token is for."),
            ({"scopes": ["read", "everything"]}, "scopes", "There is no scope “everything”."),
            ({"name": " "}, "name", "A token has a name"),
            ({"name": "x" * 256}, "name", "A token has a name"),
            ({"lifetime": timedelta(0)}, "days", "A token is valid for 1 to 3650 days."),
            ({"lifetime": timedelta(days=3651)}, "days", "A token is valid for 1 to 3650 days."),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, chief: User, given: dict[str, Any], param: str, message: str) -> None:
        with pytest.raises(operations.Invalid, match=re.escape(message)) as refused:
            make(chief, chief, **given)
        assert refused.value.param == param and not ApiToken.objects.exists()

    def test_the_version_before_lets_it_do_no_more(self, chief: User, service: User) -> None:
        """It knows `read_only` alone, and not single actions."""
        assert make(chief, service, scopes=["read", "pay"])[0].read_only
        assert make(chief, service, scopes=["feed"])[0].read_only
        assert not make(chief, service, scopes=["actions"])[0].read_only

    def test_its_scopes_never_change(self, chief: User) -> None:
        token, _ = make(chief, chief, scopes=["read"])
        for change in ({"scopes": "read actions"}, {"any_stripe_version": True}, {"shell_user": "x@y"}):
            with pytest.raises(ImmutableError, match="never changes"):
                ApiToken.objects.filter(pk=token.pk).update(**change)

    def test_tokens_of_before_are_chained_as_they_were(self, chief: User) -> None:
        """The columns that the upgrade adds say nothing of them: their digest is that of the version before."""
        token, _ = ApiToken.objects.create(chief, name="of before", created_by=chief)
        ((_, content),) = contents("api_token", [token.pk])
        evidence = {
            "digest": token.digest,
            "token_key": token.token_key,
            "name": "of before",
            "created": token.created,
            "expiry": token.expiry,
            "user_id": chief.pk,
            "created_by_id": chief.pk,
            "user__username": "chief",
            "created_by__username": "chief",
        }
        assert content.digest == _sha256({name: value for name, value in evidence.items() if value is not None})


class TestWhoCountsAsHavingAsked:
    def test_a_manager_who_asks_with_her_own_token(self, big: str, manager: User) -> None:
        operation = waiting(make(manager, manager)[1], big)
        assert (operation.actor, operation.source) == (manager, "api")
        assert "your own request" in reason_against(manager, operation)

    def test_a_superuser_who_made_the_service_s_token(self, big: str, chief: User, service: User) -> None:
        operation = waiting(make(chief, service)[1], big)
        assert "which you made" in reason_against(chief, operation)

    def test_whoever_may_make_a_token_for_the_service(
        self, sandbox: SandboxProcess, big: str, chief: User, service: User, manager: User
    ) -> None:
        other = User.objects.create_superuser("other", "other@example.com", PASSWORD)
        trusted = give(user_in_group("trusted", "Billing manager"), "add_service_token")
        operation = waiting(make(chief, service)[1], big)
        assert "As a superuser you may make tokens for service users" in reason_against(other, operation)
        assert "You may make tokens for service users, so you count" in reason_against(trusted, operation)
        operations.settle_due()
        emails.send_due()
        assert [letter.to for letter in mail.outbox] == [[manager.email]]
        done = decisions.approve(operation.pk, approver=manager)
        assert done.state == State.SUCCEEDED
        assert sandbox.client().v1.invoices.retrieve(big).status == "void"

    def test_an_approver_who_then_gets_the_permission_has_approved_nothing(
        self, sandbox: SandboxProcess, big: str, chief: User, service: User, manager: User
    ) -> None:
        operation = waiting(make(chief, service)[1], big)
        operations.pauses.begin("void", "an audit", chief)
        assert decisions.approve(operation.pk, approver=manager).state == State.READY
        give(manager, "add_service_token")
        operations.pauses.end("void", chief)
        assert operations.perform(operation.pk).state == State.AWAITING_APPROVAL
        assert sandbox.client().v1.invoices.retrieve(big).status == "open"

    def test_a_batch_of_one_s_own(self, big: str, manager: User) -> None:
        invoices = list(Invoice.objects.filter(pk=big))
        batch = operations.batch.start("void", invoices, actor=manager, reason="doubles", batch_id=uuid.uuid4())
        assert batch.awaiting_approval
        for decide in (operations.batch.approve, operations.batch.reject):
            with pytest.raises(operations.Refusal, match="your own request"):
                decide(batch, approver=manager, reason="it is fine")

    def test_the_maker_also_when_she_may_make_none_any_more(self, big: str, service: User, manager: User) -> None:
        manager = give(manager, "add_service_token")
        token, key = make(manager, service)
        manager.user_permissions.clear()
        assert "which you made" in reason_against(manager, waiting(key, big))
        User.objects.filter(pk=manager.pk).update(is_active=False)
        chief = User.objects.create_superuser("chief")
        shown = text(signed_in(chief).get(f"/admin/invoices/apitoken/{token.pk}/"))
        assert "manager, who is no longer active but may still know it" in shown

    def test_nobody_knows_who_made_it(self, big: str, agent: User, manager: User, chief: User) -> None:
        """A token of the version before: it works, and nobody who could have made it approves."""
        token, key = ApiToken.objects.create(agent, name="of before")
        operation = waiting(key, big)
        assert Client().get("/v1/invoices", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        for person in (manager, chief):
            assert "nobody knows who made that token" in reason_against(person, operation)
        assert "Nobody knows: it was made before" in text(
            signed_in(manager).get(f"/admin/invoices/apitoken/{token.pk}/")
        )
        approver = give(user_in_group("approver", "Support agent"), "approve_operation")
        operations.settle_due()
        emails.send_due()
        assert [letter.to for letter in mail.outbox] == [[approver.email]]
        assert decisions.approve(operation.pk, approver=approver).state == State.SUCCEEDED

    def test_asked_over_the_api_before_tokens_were_recorded(self, big: str, agent: User, manager: User) -> None:
        operation = operations.request("void", big, actor=agent, source="api")
        assert "an API token, and nobody knows" in reason_against(manager, operation)

    def test_another_account_of_hers(self, big: str, manager: User, agent: User, service: User) -> None:
        """A manager who also has the support agent's password asks as the agent and approves: two accounts of one
        person cannot be told apart. But a token decides only where it was made for that, and hers acts and reads."""
        chief = User.objects.create_superuser("chief", "chief@example.com", PASSWORD)
        operation = waiting(make(chief, service)[1], big)
        key = make(manager, manager)[1]
        for path in (f"operations/{operation.pk}/approve", f"operations/{operation.pk}", f"invoices/{big}/approve"):
            answer = Client().post(f"/v1/{path}", "", FORM, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code in (403, 404, 405), path
        headers = {"Authorization": f"Bearer {key}"}
        page = f"/admin/invoices/operation/{operation.pk}/approve/"
        assert "/login/" in Client().post(page, headers=headers)["Location"]
        operation.refresh_from_db()
        assert operation.state == State.AWAITING_APPROVAL

    def test_a_service_group_that_was_renamed(self, big: str, chief: User, service: User, manager: User) -> None:
        """Who made the token counts still, and the key opens nothing: its user is no service user any more."""
        other = User.objects.create_superuser("other", "other@example.com", PASSWORD)
        _, key = make(chief, service)
        operation = waiting(key, big)
        Group.objects.filter(name=SERVICE_GROUP).update(name="Robots")
        assert reason_against(chief, operation) and reason_against(other, operation)
        assert requesters.decision_refusal(operation, manager) is None
        assert ask(key, big).status_code == 401
        with pytest.raises(operations.Invalid):
            make(chief, service)

    def test_the_admin_does_not_rename_or_delete_it(self, chief: User) -> None:
        client, group = signed_in(chief), Group.objects.get(name=SERVICE_GROUP)
        client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Robots", "permissions": []})
        assert client.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}).status_code == 403
        chosen = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}
        client.post("/admin/auth/group/", chosen)
        group.refresh_from_db()
        assert group.name == SERVICE_GROUP and not group.permissions.exists()
        own = Group.objects.create(name="Night shift")
        client.post(f"/admin/auth/group/{own.pk}/change/", {"name": "Late shift", "permissions": []})
        own.refresh_from_db()
        assert own.name == "Late shift"


class TestAuthentication:
    def refused(self, key: str, invoice: str = "in_1") -> str:
        answer = ask(key, invoice)
        assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer")
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error" and key not in error["message"]
        return str(error["message"])

    def test_a_revoked_one_does_not_repeat_what_it_asked(self, big: str, service: User, chief: User) -> None:
        token, key = make(chief, service)
        headers = {"Idempotency-Key": "k-1"}
        assert ask(key, big, **headers).json()["error"]["code"] == "approval_required"
        client = signed_in(chief)
        page = f"/admin/invoices/apitoken/{token.pk}/"
        client.post(f"{page}revoke/", REMOTE_ADDR="203.0.113.9")
        assert "Revoked API Key provided" in self.refused(key, big)
        assert ask(key, big, **headers).status_code == 401
        token.refresh_from_db()
        assert token.revoked_by == chief and token.revoked_at is not None
        record = token.records.get(what="revoked")
        assert (record.by, record.address) == (chief, "203.0.113.9")
        client.post(f"{page}revoke/")  # again: nothing new
        assert [record.what for record in token.records.order_by("at")] == ["created", "used", "revoked"]
        shown = text(client.get(page))
        assert "203.0.113.9" in shown and "by chief" in shown and ">Revoke<" not in shown
        assert "revoked" in text(client.get("/admin/invoices/apitoken/"))

    def test_of_a_user_who_was_deactivated(self, service: User, chief: User) -> None:
        _, key = make(chief, service)
        User.objects.filter(pk=service.pk).update(is_active=False)
        assert "Invalid API Key" in self.refused(key)
        assert not TokenRecord.objects.filter(what="used").exists()

    def test_of_a_service_user_who_became_a_person(self, service: User, chief: User) -> None:
        _, key = make(chief, service)
        service.groups.set([Group.objects.get(name="Support agent")])
        assert "no longer a service user" in self.refused(key)

    def test_expiry_is_of_the_database_s_clock(
        self, service: User, chief: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token, key = make(chief, service)
        assert Client().get("/v1/invoices", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert token.created is not None
        late = clock.now() + timedelta(days=1, seconds=1)
        monkeypatch.setattr(clock, "now", lambda: late)
        monkeypatch.setattr(clock, "read_along", lambda moment: late)
        assert "Expired API Key" in self.refused(key)
        assert ApiToken.objects.filter(pk=token.pk).exists()


class TestItIsKept:
    def test_nothing_deletes_a_token(self, service: User, chief: User) -> None:
        token, key = make(chief, service)
        expired, _ = ApiToken.objects.create(service, name="old", created_by=chief, expiry=timedelta(days=-1))
        for delete in (token.delete, ApiToken.objects.all().delete, service.auth_token_set.all().delete):
            with pytest.raises(ImmutableError):
                delete()
        unrecorded = User.objects.create_user("x")
        ApiToken.objects.create(unrecorded, name="without a record")
        for user in (service, chief, unrecorded):
            with pytest.raises(ProtectedError):
                user.delete()
        # Knox deletes the expired ones of a user when another of hers is used.
        assert Client().get("/v1/invoices", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert ApiToken.objects.filter(pk=expired.pk).exists()

    def test_a_revoked_one_stays_revoked(self, service: User, chief: User) -> None:
        token, _ = make(chief, service)
        assert tokens.revoke(token, chief, HERE) and not tokens.revoke(token, chief, HERE)
        token.refresh_from_db()
        token.revoked_at = None
        with pytest.raises(ImmutableError):
            token.save()
        with pytest.raises(ImmutableError):
            ApiToken.objects.filter(pk=token.pk).update(expiry=None)

    def use(self, key: str, address: str = "203.0.113.1") -> list[str]:
        """Lists invoices with the key; the SQL that this took."""
        with CaptureQueriesContext(connection) as captured:
            headers = {"Authorization": f"Bearer {key}"}
            assert Client().get("/v1/invoices", headers=headers, REMOTE_ADDR=address).status_code == 200
        return queries_of_page(captured)

    def test_its_use_is_recorded_once_a_day_from_each_address(self, service: User, chief: User) -> None:
        token, key = make(chief, service)
        for _ in range(3):
            first, again = self.use(key), self.use(key)
            assert not [sql for sql in again if "tokenrecord" in sql]
        assert len([sql for sql in self.use(key, "203.0.113.2") if "tokenrecord" in sql]) == 1
        assert not [sql for sql in first if "SAVEPOINT" in sql]
        uses = list(token.records.filter(what="used").order_by("at"))
        assert [(use.address, use.by, use.day) for use in uses] == [
            ("203.0.113.1", service, clock.now().date()),
            ("203.0.113.2", service, clock.now().date()),
        ]
        assert all(use.request_id.startswith("req_") for use in uses)
        shown = text(signed_in(chief).get(f"/admin/invoices/apitoken/{token.pk}/"))
        assert "203.0.113.2" in shown and "billing-service" in shown and "read, Pay" in shown

    def test_the_next_day_is_another_use(self, service: User, chief: User, monkeypatch: pytest.MonkeyPatch) -> None:
        token, key = make(chief, service, lifetime=timedelta(days=9))
        self.use(key)
        tomorrow = clock.now() + timedelta(days=1)
        monkeypatch.setattr(clock, "now", lambda: tomorrow)
        monkeypatch.setattr(clock, "read_along", lambda moment: tomorrow)
        self.use(key)
        assert token.records.filter(what="used").count() == 2

    def test_another_process_was_quicker(self, service: User, chief: User) -> None:
        token, key = make(chief, service)
        TokenRecord.objects.create(token=token, what="used", by=service, day=clock.now().date(), address="203.0.113.1")
        self.use(key)
        assert token.records.filter(what="used").count() == 1

    def test_what_a_process_remembers_has_a_limit(
        self, service: User, chief: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "MAX_USES_REMEMBERED", 3)
        token, _ = make(chief, service)
        for last in range(10):
            tokens.record_use(token, clock.now(), tokens.Origin(address=f"203.0.113.{last}", request_id=""))
        assert len(tokens._uses) <= 4 and token.records.filter(what="used").count() == 10


class TestServiceUsersDoNotSignIn:
    SENTENCE = "acts through API tokens and cannot sign in"

    @pytest.fixture
    def staff(self, service: User) -> User:
        """A service user with everything that signing in takes."""
        service.is_staff = True
        service.set_password(PASSWORD)
        service.save()
        return service

    def test_the_password_is_not_enough(self, staff: User) -> None:
        client = Client()
        answer = client.post("/admin/login/", {"username": staff.username, "password": PASSWORD})
        assert answer.status_code == 200 and self.SENTENCE in text(answer)
        assert "_auth_user_id" not in client.session

    def test_not_even_for_a_superuser(self, staff: User) -> None:
        User.objects.filter(pk=staff.pk).update(is_superuser=True)
        answer = Client().post("/admin/login/", {"username": staff.username, "password": PASSWORD})
        assert self.SENTENCE in text(answer)

    def test_who_is_signed_in_sees_nothing_more(self, agent: User, open_invoice: Any) -> None:
        client = signed_in(agent)
        page = f"/admin/invoices/invoice/{open_invoice.id}/"
        assert client.get(page).status_code == 200
        agent.groups.add(Group.objects.get(name=SERVICE_GROUP))
        answer = client.get(page)
        assert answer.status_code == 302
        assert self.SENTENCE in text(client.get(answer["Location"]))
        client.post(f"{page}do/void/", {"reason": "x"})
        assert not Operation.objects.exists()

    def test_people_do(self, agent: User) -> None:
        client = Client()
        client.post("/admin/login/", {"username": agent.username, "password": PASSWORD})
        assert client.get("/admin/").status_code == 200


class TestTheCommandLine:
    def perform(self, invoice: str) -> Operation:
        run_command("perform", "void", invoice, "--reason", "a double", "--as", "agent")
        return Operation.objects.get()

    def test_who_ran_it_is_recorded_and_shown(
        self, big: str, agent: User, manager: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("USER", "somebody-else")
        monkeypatch.setenv("LOGNAME", "somebody-else")
        monkeypatch.delenv("SUDO_USER", raising=False)
        operation = self.perform(big)
        ran = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
        assert (operation.actor, operation.shell_user, operation.token) == (agent, ran, None)
        assert f"run by {ran}" in text(signed_in(manager).get(f"/admin/invoices/operation/{operation.pk}/"))
        _, key = make(manager, manager)
        shown = Client().get(f"/v1/operations/{operation.pk}", headers={"Authorization": f"Bearer {key}"}).json()
        assert shown["shell_user"] == ran and shown["token"] is None
        assert "your own request" in reason_against_actor(agent, operation)

    def test_sudo_and_a_number_without_a_name(self, big: str, agent: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SUDO_USER", "manager")
        monkeypatch.setattr(os, "getuid", lambda: 987_654)
        operation = self.perform(big)
        assert operation.shell_user == f"uid 987654@{socket.gethostname()} (sudo by manager)"

    def test_a_service_user_does_not_act_there(self, big: str, service: User) -> None:
        with pytest.raises(CommandError, match="acts through API tokens alone"):
            call_command("perform", "void", big, "--reason", "a double", "--as", service.username)
        assert not Operation.objects.exists()

    @pytest.mark.parametrize("ran", ["manager@host", "root@host (sudo by Manager)"])
    def test_the_same_name_is_the_same_person(self, big: str, agent: User, manager: User, ran: str) -> None:
        operation = operations.request("void", big, actor=agent, source="command", reason="a double", shell_user=ran)
        assert "so you count as the one who asked" in reason_against(manager, operation)
        other = user_in_group("man", "Billing manager")
        assert requesters.decision_refusal(operation, other) is None

    def test_no_command_decides(self) -> None:
        """`--as` names whom it likes, so a command that approved, rejected or resolved would be a second person for
        everybody with a shell."""
        folder = Path(operations.__file__).parent.parent / "management"
        deciding = re.compile(r"\b(?:decisions|manual_resolution)\b|\b(?:approve|reject|resolve)\(")
        commands = list(folder.rglob("*.py"))
        assert len(commands) > 10
        assert {path.name: found for path in commands if (found := deciding.findall(path.read_text()))} == {}


def reason_against_actor(agent: User, operation: Operation) -> str:
    """Why the actor may not decide, also if she may decide on others' requests."""
    return reason_against(give(agent, "approve_operation"), operation)


class TestTheCommand:
    """`manage.py api_token`, by the rules of the admin."""

    def run(self, *words: str) -> tuple[str, str]:
        said, told = StringIO(), StringIO()
        call_command("api_token", *words, stdout=said, stderr=told)
        return said.getvalue(), told.getvalue()

    def create(self, *words: str, user: str = "billing-service", by: str = "chief") -> tuple[str, str]:
        return self.run("create", "--user", user, "--name", "dunning", "--by", by, "--scopes", "pay", "read", *words)

    def test_a_key_is_printed_alone_and_opens_what_it_is_for(self, chief: User, service: User) -> None:
        said, told = self.create("--days", "30")
        key, token = said.strip(), ApiToken.objects.get()
        assert token.digest == hash_token(key) and "acts as billing-service, for: read, pay" in told and key not in told
        headers = {"Authorization": f"Bearer {key}"}
        assert Client().get("/v1/invoices", headers=headers).status_code == 200
        assert ask(key, "in_1").json()["error"]["code"] == "permission_denied"
        assert (token.user, token.created_by, token.granted) == (service, chief, ["read", "pay"])
        assert not token.any_stripe_version and token.shell_user == request_origin.shell_user()
        assert token.expiry is not None and token.expiry - clock.now() < timedelta(days=30)
        assert [record.what for record in token.records.order_by("at")] == ["created", "used"]
        made = SignInRecord.objects.get(what="token_made")
        assert (made.by, made.username) == (request_origin.shell_user(), "billing-service")
        assert made.detail == "“dunning” for read, pay, in the name of chief"
        page = text(signed_in(chief).get(f"/admin/invoices/apitoken/{token.pk}/"))
        assert f"chief, by a command that {request_origin.shell_user()} ran" in page

    def test_the_same_rules_as_in_the_admin(self, chief: User, service: User, agent: User, manager: User) -> None:
        for given, message in (
            ({"user": "agent"}, "acts for the one who makes it, or for a service user"),
            ({"by": "manager"}, "acts for the one who makes it, or for a service user"),
            ({"by": "agent", "user": "agent"}, "acts for the one who makes it"),
            ({"by": "billing-service"}, "acts through API tokens alone"),
            ({"user": "nobody"}, "There is no user “nobody”"),
        ):
            with pytest.raises(CommandError, match=message):
                self.create(**given)
        with pytest.raises(CommandError, match="There is no scope “everything”"):
            self.create("everything")
        assert not ApiToken.objects.exists()

    def test_whoever_ran_it_does_not_approve(
        self, big: str, chief: User, service: User, manager: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`--by` names whom it likes: a manager with a shell would ask as the service, and approve it in the admin."""
        monkeypatch.setenv("SUDO_USER", "manager")
        key = self.create("void")[0].strip()
        operation = waiting(key, big)
        assert "made on the command line. That user has your name" in reason_against(manager, operation)
        other = user_in_group("other", "Billing manager")
        assert requesters.decision_refusal(operation, other) is None

    def test_the_list(self, chief: User, service: User) -> None:
        key = self.create("--any-stripe-version")[0].strip()
        Client().get("/v1/invoices", headers={"Authorization": f"Bearer {key}"})
        ApiToken.objects.create(service, name="of before", expiry=timedelta(days=-1))
        gone, _ = make(chief, chief, name="gone")
        tokens.revoke(gone, chief, HERE)
        today = str(clock.now().date())
        found = {token["name"]: token for token in json.loads(self.run("list", "--json")[0])["tokens"]}
        assert {name: token["state"] for name, token in found.items()} == {
            "dunning": "active",
            "of before": "expired",
            "gone": "revoked",
        }
        assert found["dunning"]["last_used"] == today and found["of before"]["last_used"] is None
        assert found["dunning"]["any_stripe_version"] and found["dunning"]["created_by"] == "chief"
        assert found["of before"]["scopes"] == ["read", "feed", "actions"]
        lines = self.run("list")[0].splitlines()
        assert lines[0].split() == ["name", "user", "scopes", "expires", "last", "used", "state", "begins", "with"]
        assert len(lines) == 4 and key not in "".join(lines) and "read,pay" in "".join(lines)
        assert key[:15] in "".join(lines)

    def test_one_is_revoked_by_name_or_by_the_beginning_of_its_key(
        self, chief: User, service: User, agent: User
    ) -> None:
        key = self.create()[0].strip()
        with pytest.raises(CommandError, match="agent may not revoke tokens"):
            self.run("revoke", "dunning", "--by", "agent")
        self.create()
        with pytest.raises(CommandError, match="several tokens “dunning”"):
            self.run("revoke", "dunning")
        assert "“dunning” of billing-service is revoked" in self.run("revoke", key[:15])[0]
        assert ask(key, "in_1").status_code == 401
        revoked = ApiToken.objects.get(token_key=key[:15])
        assert revoked.revoked_by == chief and revoked.records.filter(what="revoked").get().by == chief
        assert SignInRecord.objects.get(what="token_revoked").by == request_origin.shell_user()
        self.run("revoke", "dunning")  # one is left
        with pytest.raises(CommandError, match="no token “dunning” that is not revoked"):
            self.run("revoke", "dunning")


class TestTheDemo:
    KEY = "f" * 64

    def create(self, key: str = KEY) -> User:
        passwords = {f"password_of_{name}": PASSWORD for name in (*users.GROUPS, users.ADMINISTRATOR)}
        users.create_users(passwords)
        users.create_service(key)
        return User.objects.get(username="demo-service")

    def test_its_manager_approves_what_the_service_asks_for_and_its_administrator_does_not(self, big: str) -> None:
        service = self.create()
        assert set(service.groups.values_list("name", flat=True)) == {SERVICE_GROUP}
        assert all(service.has_perm(action.permission) for action in operations.ACTIONS.values())
        token = ApiToken.objects.get()
        assert set(token.granted) == {*Scope.values} and not token.any_stripe_version
        operation = waiting(self.KEY, big)
        assert "which you made" in reason_against(User.objects.get(username="admin"), operation)
        done = decisions.approve(operation.pk, approver=User.objects.get(username="manager"))
        assert done.state == State.SUCCEEDED

    def test_a_token_of_an_older_demo_gets_a_maker(self, db: None) -> None:
        service = User.objects.create_user("demo-service")
        ApiToken(digest=hash_token(self.KEY), token_key=self.KEY[:15], user=service, name=users.SERVICE).save(
            force_insert=True
        )
        self.create()
        assert ApiToken.objects.get().created_by == User.objects.get(username="admin")

    def test_it_starts_again_also_after_its_token_was_revoked(self, db: None) -> None:
        self.create()
        tokens.revoke(ApiToken.objects.get(), User.objects.get(username="manager"), HERE)
        self.create()
        self.create("e" * 64)
        assert ApiToken.objects.filter(revoked_at=None).count() == 1
        self.create("d" * 64)
        assert [ApiToken.objects.filter(revoked_at=None).count(), ApiToken.objects.count()] == [1, 3]


class TestTheApiShowsThem:
    def test_the_token_and_who_made_it(self, big: str, chief: User, service: User) -> None:
        _, key = make(chief, service, name="dunning")
        operation = waiting(key, big)
        shown = Client().get("/v1/operations", headers={"Authorization": f"Bearer {key}"}).json()["data"][0]
        assert shown["token"] == {"name": "dunning", "created_by": "chief"} and shown["shell_user"] == ""
        page = text(signed_in(chief).get(f"/admin/invoices/operation/{operation.pk}/"))
        assert "token “dunning”, made by chief" in page
