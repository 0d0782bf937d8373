"""Single sign-on against a provider over HTTP: who comes in, with which groups, and what a thief tries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from requests import Session

from backoffice.group_settings import group_map
from invoices import sign_ins
from invoices.models import SignInRecord
from tests.factories import user_in_group
from tests.helpers.factors import enrolled
from tests.helpers.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

pytestmark = pytest.mark.django_db

JANE = {
    "sub": "subject-1",
    "preferred_username": "jane.doe",
    "email": "jane@example.com",
    "given_name": "Jane",
    "family_name": "Doe",
    "groups": ["everyone", "desk-agents"],
}


@pytest.fixture(scope="module")
def one_provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    yield provider
    provider.close()


@pytest.fixture
def provider(one_provider: IdentityProvider, settings: Any) -> IdentityProvider:
    one_provider.person, one_provider.userinfo = dict(JANE), None
    one_provider.forged = one_provider.unsigned = one_provider.down = False
    one_provider.audience = CLIENT_ID
    settings.OIDC_ISSUER = one_provider.issuer
    settings.OIDC_GROUPS = group_map(["desk-agents=Support agent", "desk-managers=Billing manager"])
    app = {
        "provider_id": settings.OIDC_PROVIDER_ID,
        "name": "Company",
        "client_id": CLIENT_ID,
        "secret": CLIENT_SECRET,
        "settings": {"server_url": one_provider.issuer},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
    return one_provider


def through(provider: IdentityProvider, client: Client | None = None, query: str = "") -> tuple[Client, Any]:
    """The browser, and the desk's answer when it comes back from the provider."""
    client = client or Client()
    away = client.post(f"/account/provider/company/{query}")
    assert away.status_code == 302, away.content
    return client, client.get(provider.sign_in(away["Location"]))


def groups_of(name: str) -> list[str]:
    return sorted(User.objects.get(username=name).groups.values_list("name", flat=True))


def refusals() -> str:
    return " ".join(SignInRecord.objects.filter(what="refused").values_list("detail", flat=True))


def test_a_person_is_made_with_exactly_the_mapped_groups(provider: IdentityProvider) -> None:
    page = Client().get("/admin/login/?next=/admin/invoices/invoice/").content.decode()
    assert 'action="/account/provider/company/?next=%2Fadmin%2Finvoices%2Finvoice%2F"' in page
    client, answer = through(provider, query="?next=/admin/invoices/invoice/")
    assert answer["Location"] == "/admin/invoices/invoice/"
    assert client.get("/admin/").status_code == 200
    jane = User.objects.get(username="jane.doe")
    assert (jane.is_staff, jane.is_superuser, jane.has_usable_password()) == (True, False, False)
    assert groups_of("jane.doe") == ["Support agent"]
    provider.person = {**JANE, "groups": ["desk-managers"], "email": "new@example.com"}
    through(provider)
    assert groups_of("jane.doe") == ["Billing manager"]
    assert User.objects.count() == 1
    assert SignInRecord.objects.filter(what="signed_in", detail="through the identity provider").count() == 2
    assert "/keys" in provider.asked  # the signature is looked at


def test_who_has_no_group_is_refused(provider: IdentityProvider) -> None:
    provider.person = {**JANE, "groups": ["everyone"]}
    client, answer = through(provider)
    assert answer.status_code == 403 and "none of your groups" in answer.content.decode()
    assert not User.objects.exists() and "none of your groups" in refusals()
    provider.person = dict(JANE)
    through(provider)
    provider.person = {**JANE, "groups": []}
    client, answer = through(provider)
    assert answer.status_code == 403 and client.get("/admin/").status_code == 302


@pytest.mark.parametrize("claims", [{"email": "agent@example.com"}, {"preferred_username": "AGENT"}])
def test_an_account_of_before_is_not_taken_over(provider: IdentityProvider, claims: dict[str, str]) -> None:
    user_in_group("agent", "Billing manager")
    provider.person = {**JANE, **claims, "email_verified": True}
    client, answer = through(provider)
    assert answer.status_code == 403 and "not linked" in answer.content.decode()
    assert client.get("/admin/").status_code == 302 and User.objects.count() == 1


def test_an_administrator_links_an_account(provider: IdentityProvider) -> None:
    user_in_group("agent", "Billing manager")
    User.objects.create_superuser("root", "root@example.com", "a long enough password")
    call_command("link_single_sign_on", "agent", "subject-1", reason="asked for")
    for name in ("agent", "root", "nobody"):
        with pytest.raises(CommandError):
            call_command("link_single_sign_on", name, "subject-1", reason="again")
    through(provider)
    assert groups_of("agent") == ["Support agent"]


def test_nobody_becomes_a_superuser_and_no_superuser_comes_in(provider: IdentityProvider) -> None:
    provider.person = {**JANE, "is_superuser": True, "groups": ["desk-agents", "Administrator", "Service"]}
    through(provider)
    jane = User.objects.get(username="jane.doe")
    assert not jane.is_superuser and groups_of("jane.doe") == ["Support agent"]
    jane.is_superuser = True
    jane.save()
    client, answer = through(provider)
    assert answer.status_code == 403 and client.get("/admin/").status_code == 302


def test_a_deactivated_account_stays_out(provider: IdentityProvider) -> None:
    through(provider)
    User.objects.update(is_active=False)
    client, answer = through(provider)
    assert answer.status_code == 403 and client.get("/admin/").status_code == 302


@pytest.mark.parametrize("trusted", [False, True])
def test_the_second_factor_after_it(provider: IdentityProvider, settings: Any, trusted: bool) -> None:
    settings.SECOND_FACTOR_REQUIRED, settings.OIDC_TRUSTS_SECOND_FACTOR = True, trusted
    client, _ = through(provider)
    assert (client.get("/admin/").status_code == 200) is trusted
    enrolled(User.objects.get())
    client, answer = through(provider)
    assert answer["Location"] == ("/admin/" if trusted else "/account/second-factor/sign-in/")
    assert (client.get("/admin/").status_code == 200) is trusted
    # It is never a fresh one of her own: what needs one asks for it.
    if trusted:
        User.objects.get().user_permissions.add(*_permissions("pause_actions"))
        answer = client.post("/admin/invoices/pause/add/", {"reason": "a test"})
        assert "/account/second-factor/confirm/" in answer["Location"]


def _permissions(codename: str) -> Any:
    return Permission.objects.filter(codename=codename)


@pytest.mark.parametrize("fault", ["forged", "unsigned", "audience", "other subject", "code again", "state", "down"])
def test_what_is_not_genuine_opens_nothing(provider: IdentityProvider, fault: str) -> None:
    client = Client()
    away = client.post("/account/provider/company/")["Location"]
    back = provider.sign_in(away)
    if fault in ("forged", "unsigned", "down"):
        setattr(provider, fault, True)
    elif fault == "audience":
        provider.audience = "another client"
    elif fault == "other subject":
        provider.userinfo = {**JANE, "sub": "subject-2"}
    elif fault == "code again":
        provider.codes.clear()
    elif fault == "state":
        client = Client()  # the thief's own code, in the victim's browser
    answer = client.get(back)
    assert answer.status_code in (401, 502) and "Try again" in answer.content.decode(), answer.content
    assert not User.objects.exists() and client.get("/admin/").status_code == 302
    assert SignInRecord.objects.filter(what="refused").count() == 1


def test_nobody_links_an_account_to_a_session(provider: IdentityProvider) -> None:
    agent = user_in_group("agent", "Support agent")
    client = Client()
    client.force_login(agent)
    _, answer = through(provider, client, "?process=connect")
    assert answer.status_code == 403 and not SocialAccount.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_provider_is_asked_outside_any_transaction(provider: IdentityProvider, monkeypatch: Any) -> None:
    inside: list[bool] = []
    send = Session.send

    def noted(*args: Any, **given: Any) -> Any:
        inside.append(connection.in_atomic_block)
        return send(*args, **given)

    monkeypatch.setattr(Session, "send", noted)
    through(provider)
    assert User.objects.count() == 1 and inside and not any(inside)


def test_it_is_off_where_it_is_not_configured(client: Client) -> None:
    assert client.post("/account/provider/company/").status_code == 404
    assert "Continue with" not in client.get("/admin/login/").content.decode()
    for wrong in (["desk-agents"], ["=Auditor"], ["robots=Service"]):
        with pytest.raises(ImproperlyConfigured):
            group_map(wrong)


def test_invented_answers_of_the_provider_fill_no_disk(provider: IdentityProvider, monkeypatch: Any) -> None:
    monkeypatch.setattr(sign_ins, "MAX_FAILURES_RECORDED", 3)
    for number in range(6):
        Client().get(f"/account/provider/company/back/?state={number}&code=x")
    assert SignInRecord.objects.filter(what="refused").count() == 3


def test_a_name_in_other_letters_is_the_same_name(provider: IdentityProvider) -> None:
    user_in_group("jane.doe", "Billing manager")
    provider.person = {**JANE, "sub": "mallory", "email": "", "preferred_username": "\uff4aane.doe"}
    through(provider)
    assert User.objects.count() == 1 and not SocialAccount.objects.exists()
