"""Sentences of the journal in the reader's language, and the language of a request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation

from invoices import money, recorded

pytestmark = pytest.mark.django_db


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pairs = {
        "Nobody decided within {days} days.": "Niemand hat innerhalb von {days} Tagen entschieden.",
        "{amount} remain to be paid: it cannot be more.": "Noch offen sind {amount}: mehr geht nicht.",
        "“{action}” was asked for by {person}.": "„{action}“ wurde von {person} angefordert.",
    }
    found = sorted(((recorded._letters(one), recorded._pattern(one), other) for one, other in pairs.items()), key=str)
    monkeypatch.setattr(recorded, "_patterns", lambda language: [each[1:] for each in found])
    recorded._shown.cache_clear()
    yield
    recorded._shown.cache_clear()


def test_a_kept_sentence_is_shown_in_the_reader_s_language(catalog: None) -> None:
    with translation.override("de"):
        assert recorded.shown("Nobody decided within 7 days.") == "Niemand hat innerhalb von 7 Tagen entschieden."
        assert recorded.shown("EUR 1,234.50 remain to be paid: it cannot be more.") == (
            "Noch offen sind 1.234,50 EUR: mehr geht nicht."
        )
        two = "“overdue” was asked for by Ada. Nobody decided within 7 days."
        assert recorded.shown(two) == (
            "„überfällig“ wurde von Ada angefordert. Niemand hat innerhalb von 7 Tagen entschieden."
        )
        assert recorded.shown("Your card was declined.") == "Your card was declined.", "Stripe's own words"
        assert recorded.shown("An audit: Ada asked on the phone. Twice.") == (
            "Eine Prüfung: Ada asked on the phone. Twice."
        ), "a reason of ours, and what a person wrote after it"
        assert recorded.shown("") == ""
    assert recorded.shown("Nobody decided within 7 days.") == "Nobody decided within 7 days."


def test_what_is_too_long_for_a_sentence_of_ours_is_shown_as_it_is() -> None:
    """Written to be like a message with five values almost to its end, it was compared for more than a minute."""
    hostile = "“x" + "” could mean x" * 60 + " or x" * 120 + ". Write x" * 60 + "!"
    with translation.override("de"):
        assert recorded.shown(hostile) == hostile
        assert recorded.shown(hostile[:400]) == hostile[:400]


def test_what_is_kept_is_made_in_english() -> None:
    with translation.override("de"):
        assert money.text(123_450, "eur") == "1.234,50 EUR"
        with recorded.in_english():
            assert money.text(123_450, "eur") == "EUR 1,234.50"


def test_each_reader_has_a_language_and_the_next_request_is_not_in_it(client: Client, manager: User) -> None:
    client.force_login(manager)
    german = client.get("/admin/invoices/invoice/", headers={"Accept-Language": "de-AT,en;q=0.5"})
    assert german["Content-Language"] == "de" and 'lang="de"' in german.content.decode()
    assert {"Accept-Language", "Cookie"} <= {name.strip() for name in german["Vary"].split(",")}
    assert translation.get_language() == settings.LANGUAGE_CODE
    french = client.get("/admin/invoices/invoice/", headers={"Accept-Language": "fr"})
    assert french["Content-Language"] == "en"
    response = client.post("/language/", {"language": "de", "next": "/admin/"})
    assert response["Location"] == "/admin/" and response.cookies["language"]["httponly"]
    assert client.get("/admin/", headers={"Accept-Language": "en"})["Content-Language"] == "de", "what was chosen"


def test_the_choice_of_a_language_leads_nowhere_else(client: Client) -> None:
    response = client.post("/language/", {"language": "de", "next": "https://example.com/"})
    assert "example.com" not in response["Location"]
