"""Every address of the desk, asked by every role: who is answered, who is refused, and what no page may offer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from tests.permission_matrix import api, document, shown
from tests.permission_matrix.addresses import all_addresses, methods_of
from tests.permission_matrix.matrix import addresses, path_of, row_of_request, rows
from tests.permission_matrix.objects import objects_of
from tests.permission_matrix.roles import EVERYBODY, OUTSIDE, PEOPLE, TOKENS, client_of, may, person_of, token_of
from tests.permission_matrix.rows import Row

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.odd_objects]

WHAT_TO_DO = (
    "No row of the permission matrix says who may use these addresses. Add a line: of a list its model in "
    "tests/permission_matrix/lists.py, of another page or form in pages.py there, of the API in api.py. Then write the "
    "document: make permissions"
)
ENDS_THE_SESSION = ("logout", "account_logout")
# Answered with 404 to those who may ask: there is none of it here.
NOT_HERE = {
    *("view_on_site", "app_list", "/admin/(?P<url>.*)$", "mfa_view_recovery_codes", "mfa_deactivate_totp"),
    *("mfa_remove_webauthn", "openid_connect_login", "openid_connect_callback"),
}
TELLS_ITSELF = {"api-schema", "api-docs", "/metrics"}  # 403 in words, and no way to sign in
ALWAYS_403 = {"account_inactive"}


@pytest.fixture(autouse=True)
def closed_doors(settings: Any) -> None:
    settings.INTERNAL_PAGES_OPEN = False
    settings.STRIPE_PASS_THROUGH_KEY = "rk_test_reads"


def rows_of(*, api: bool) -> list[Row]:
    """Those that read first: what is sent may take an object away."""
    found = [row for key, of_key in rows().items() for row in of_key if addresses()[key].is_of_api == api]
    return sorted(found, key=lambda row: ("GET", "POST", "DELETE").index(row.method))


def test_each_address_has_a_row() -> None:
    missing = {f"{each.key}, which is {each.text}" for each in all_addresses() if each.key not in rows()}
    assert not missing, "\n".join([WHAT_TO_DO, *sorted(missing)])


def test_each_row_is_about_an_address_that_is_there() -> None:
    assert not sorted(set(rows()) - set(addresses()))


def test_each_method_of_the_api_has_a_row() -> None:
    served = {
        (address.key, method)
        for address in all_addresses()
        if address.is_of_api and address.key not in api.ELSEWHERE
        for method in methods_of(address)
    }
    assert {(row.key, row.method) for row in rows_of(api=True) if row.key not in api.ELSEWHERE} == served


def test_the_document_says_the_same() -> None:
    assert document.FILE.read_text() == document.written(document.FILE.read_text()), "make permissions"


# What an auditor may send: reads from Stripe, views and files of her own, what is stored about a customer, and what is
# her own to withdraw.
SENT_BY_AN_AUDITOR = re.compile(
    r".*_(refresh|complete|now|save_view|change_view_of_list|delete_view_of_list|file|download|done)$|invoices_export_do"
    r"|desk_report_prepare|mfa_\w+|password_change|.*/withdraw|invoices_operation_decide"
)


def test_an_auditor_sends_nothing_that_changes_anything() -> None:
    sent = [row for of_key in rows().values() for row in of_key if row.method != "GET" and may("Auditor", row.needs)]
    assert not [row for row in sent if EVERYBODY not in row.needs and not SENT_BY_AN_AUDITOR.fullmatch(row.key)]


# --- the admin --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [*PEOPLE, *OUTSIDE])
def test_the_admin_answers_each_role_as_the_matrix_says_and_offers_it_nothing_else(role: str) -> None:
    me = None if role == "Anonymous" else person_of("Service" if role in OUTSIDE else role)
    objects = objects_of(me or person_of("No group"))
    client, wrong = client_of(me), []
    for row in rows_of(api=False):
        path, allowed = path_of(row, objects), may(role, row.needs)
        asked = client_of(me) if row.key in ENDS_THE_SESSION else client
        answer = asked.get(path) if row.method == "GET" else asked.post(path, row.body)
        got = outcome(answer, row)
        if got != expected(role, row, allowed):
            wrong.append(f"{row.method} {path} answers {got} ({answer.status_code}), and needs {row.needs}")
        if allowed and row.method == "GET" and role in PEOPLE:
            wrong += offers_too_much(role, path, answer)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", ["No group", "Support agent", "Auditor"])
def test_a_method_that_the_matrix_does_not_have_opens_nothing(role: str) -> None:
    """What is only read is not sent to by those who may not read it; what is only sent to shows nothing to anybody."""
    person = person_of(role)
    objects, client, wrong = objects_of(person), client_of(person), []
    for row in rows_of(api=False):
        path, methods = path_of(row, objects), {each.method for each in rows()[row.key]}
        if methods == {"GET"} and not may(role, row.needs):
            answer = client.post(path)
        elif methods == {"POST"}:
            answer = client.get(path)
        else:
            continue
        if answer.status_code not in (302, 403, 405) and row.key not in TELLS_ITSELF:
            wrong.append(f"{path} answers the other method with {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def expected(role: str, row: Row, allowed: bool) -> str:
    if allowed:
        return "answered"
    return "sign in" if role in OUTSIDE and row.key not in TELLS_ITSELF else "refused"


def outcome(answer: Any, row: Row) -> str:
    """What the answer means to the one who asked."""
    if EVERYBODY not in row.needs and answer.get("Location", "").startswith("/admin/login/?next="):
        return "sign in"
    if answer.status_code == 403 and row.key not in ALWAYS_403:
        return "refused"
    if answer.status_code == 404:
        return "answered" if row.key in NOT_HERE else "not found"
    if answer.status_code == 405 or (answer.status_code >= 500 and row.key != "/readyz"):
        return "an error"
    return "answered"


def offers_too_much(role: str, page: str, answer: Any) -> Iterator[str]:
    """What the page leads to and this role may not use."""
    if answer.status_code != 200 or not answer.get("Content-Type", "").startswith("text/html"):
        return
    for method, path in shown.places(answer.content.decode(), page):
        row = row_of_request(method, path)
        if row is not None and not may(role, row.needs):
            yield f"{page} offers {method} {path}, which needs {row.needs}"


# --- the API ----------------------------------------------------------------------------------------------------------


def test_without_a_session_a_token_or_with_the_wrong_one_of_the_two_nothing_of_the_api_is_answered() -> None:
    person = person_of("Superuser")
    objects, wrong = objects_of(person), []
    for client in (client_of(None), client_of(person)):
        for row in rows_of(api=True):
            answer = ask(client, row, path_of(row, objects))
            if answer.status_code != 401:
                wrong.append(f"{row.method} {path_of(row, objects)} answers {answer.status_code}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", TOKENS)
def test_the_api_answers_the_token_of_each_role_as_the_matrix_says(role: str) -> None:
    person = person_of(role)
    token, key = token_of(role, person)
    objects, client, wrong = objects_of(person, token), client_of(None), []
    headers = {"Authorization": f"Bearer {key}"}
    for row in rows_of(api=True):
        path = path_of(row, objects)
        status = ask(client, row, path, headers=headers).status_code
        if (status == 403) == may(role, row.needs, row.scope) or status in (401, 404, 405, 500):
            wrong.append(f"{row.method} {path} answers {status}, and needs {row.needs} and the scope {row.scope}")
    assert not wrong, "\n".join(wrong)


def ask(client: Client, row: Row, path: str, **given: Any) -> Any:
    if row.method == "GET":
        return client.get(path, **given)
    return client.generic(row.method, path, urlencode(row.body), "application/x-www-form-urlencoded", **given)
