"""What an attacker can write into the API's parameters, and ids at Stripe that no address can name: never a 500."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin.utils import quote as django_quote
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoices import gateway, intake, sync
from invoices.admin.links import object_link, url_of
from invoices.models import ApiToken, Drift, Event, Invoice, ReconciliationRun
from invoices.models.reading import expandable_id, is_id, text
from invoices.operations import ACTIONS
from invoices.reconcile.unreadable import record_members
from tests.factories import CustomerObject, InvoiceObject, stored, user_in_group
from tests.helpers.events import stripe_event

pytestmark = pytest.mark.django_db

LISTS = (
    *("invoices", "invoices/in_1/lines", "invoice_payments", "customers", "payment_intents", "charges", "credit_notes"),
    *("refunds", "events", "operations", "batches", "notes", "reconciliation_runs", "drift"),
)
NAMES = (
    "expand limit starting_after ending_before customer status created created[gte] created[] number currency run "
    "state invoice actor batch healed total payment payment[type] payment[payment_intent] kind due_date[lt] request_id"
).split()
PARAMETERS = sorted({parameter.name for action in ACTIONS.values() for parameter in action.parameters} | {"expand"})
DEEP: Any = []
for _ in range(600):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    *([], {}, [[]], [{}], {"a": []}, {"0": []}, {"0": {}}, [None], None, True, 0, -1, 1.5, 10**30, 2**63),
    *("", " ", "\x00", "\ud800", "a\r\nb", "../..", "²", "%00", "x" * 10_000, "9" * 5000, "1e999", DEEP, {"": ""}),
    *("data", "data.", ".", "data..customer", "payments.data", "data.payments.data.payment.payment_intent.customer"),
)
BAD_IDS = (
    "in/1",
    "in_1/pay",
    "in?1",
    "in#1",
    "in%2F1",
    "..",
    ".",
    "in 1",
    "in_\x00",
    "in_\r\nX: y",
    "",
    "i" * 300,
    "é",
)


@pytest.fixture
def key(agent: User) -> str:
    """Of a caller who may do everything."""
    return str(ApiToken.objects.create(agent, name="billing service")[1])


@pytest.fixture
def api(key: str, stripe_has_nothing: None) -> Client:
    stored(InvoiceObject(id="in_1", status="void"))
    return Client(headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def stripe_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe has none of what is asked for: what is looked at here comes before it is asked."""

    def missing(*args: Any, **kwargs: Any) -> Any:
        raise gateway.Missing("No such object")

    monkeypatch.setattr(gateway, "_send", missing)


class TestEmptyExpand:
    @pytest.mark.parametrize("action", sorted(ACTIONS))
    def test_an_empty_list_expands_nothing(self, api: Client, action: str) -> None:
        body: dict[str, Any] = {"expand": [{}, []][len(action) % 2]}
        answer = api.post(f"/v1/invoices/in_1/{action}", json.dumps(body), content_type="application/json")
        assert answer.status_code in (400, 403, 404) and "expand" not in answer.json()["error"].get("param", "")

    @pytest.mark.parametrize("place", LISTS)
    def test_paths_that_hardly_any_object_has(self, api: Client, place: str) -> None:
        for path in (each for each in ("x", "data.x", "data.x.y", *ODD) if isinstance(each, str)):
            written = quote(path.encode("utf-8", "surrogatepass"))
            assert api.get(f"/v1/{place}?expand[]={written}").status_code in (200, 400), path

    @pytest.mark.parametrize("query", ["expand[]=", "expand=", "expand[0]=", "expand[][]=a", "expand[a]=b"])
    @pytest.mark.parametrize("place", ["/v1/invoices", "/v1/invoices/in_1", "/v1/invoices/in_1/lines"])
    def test_an_empty_path_is_refused(self, api: Client, place: str, query: str) -> None:
        assert api.get(f"{place}?{query}").status_code == 400


class TestOddValues:
    @pytest.mark.parametrize("name", PARAMETERS)
    def test_in_a_json_body(self, api: Client, name: str) -> None:
        for value in ODD if name == "expand" else ODD[PARAMETERS.index(name) % 3 :: 3]:
            body = json.dumps({name: value})
            answer = api.post("/v1/invoices/in_1/pay", body, content_type="application/json")
            assert 400 <= answer.status_code < 500, (value, answer.content)

    @pytest.mark.parametrize("place", LISTS)
    def test_in_an_address(self, api: Client, place: str) -> None:
        begin = LISTS.index(place)
        for index, name in enumerate(NAMES * 2):  # a sample: each list has other pairs
            value = ODD[(begin + index * 5) % len(ODD)]
            written = value if isinstance(value, str) else str(value)[:2000]
            encoded = quote(written.encode("utf-8", "surrogatepass"))
            assert api.get(f"/v1/{place}?{quote(name)}={encoded}").status_code in (200, 400), (name, value)

    @pytest.mark.parametrize("place", ("invoices", "invoice_payments", "operations", "reconciliation_runs", "drift"))
    def test_as_an_id(self, api: Client, place: str) -> None:
        for id in (*BAD_IDS, "9" * 19, "-" + "9" * 19, "9" * 5000, "\ud800", "²", "١", "{}"):
            encoded = quote(id.encode("utf-8", "surrogatepass"), safe="")
            assert api.get(f"/v1/{place}/{encoded}").status_code in (200, 400, 404), id

    @pytest.mark.parametrize("length", ["-1", "0", "9" * 18, ""])
    def test_as_a_length(self, api: Client, length: str) -> None:
        """What is no number at all, the web server itself refuses."""
        assert api.get("/v1/invoices", CONTENT_LENGTH=length).status_code in (200, 413)

    @pytest.mark.parametrize("given", ["a\r\nX: y", "\x7f", "\x01"])
    def test_as_an_idempotency_key(self, api: Client, given: str) -> None:
        assert api.post("/v1/invoices/in_1/void", headers={"Idempotency-Key": given}).status_code == 400

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda below: (
                st.lists(below, max_size=3)
                | st.dictionaries(st.sampled_from(PARAMETERS) | st.text(), below, max_size=3)
            ),
            max_leaves=12,
        )
    )
    def test_in_any_shape(self, api: Client, body: Any) -> None:
        answer = api.post("/v1/invoices/in_1/attach_payment", json.dumps(body), content_type="application/json")
        assert 400 <= answer.status_code < 500


class TestIdsOfStripe:
    """An id that no address can name does not enter the mirror, and is recorded."""

    @pytest.mark.parametrize("id", BAD_IDS)
    def test_an_event_about_such_an_object_is_kept_and_ignored(self, id: str, desk: Client) -> None:
        body = stripe_event(InvoiceObject() | {"id": id})
        intake.journal([intake.event_row(body)])
        sync.process_events()
        stored = Event.objects.get()
        assert (stored.state, stored.object_id) == (Event.State.IGNORED, "") and "no id that can be" in stored.error
        assert not Invoice.objects.exists()
        assert desk.get("/admin/invoices/event/?state=ignored").status_code == 200
        assert desk.get(url_of("event", stored.pk)).status_code == 200

    @pytest.mark.parametrize("id", BAD_IDS)
    def test_an_event_with_such_an_id_is_unreadable(self, id: str) -> None:
        with pytest.raises(ValueError, match="no id that can be a key"):
            intake.event_row(stripe_event(InvoiceObject()) | {"id": id})

    @pytest.mark.parametrize("id", BAD_IDS)
    def test_a_run_records_it_as_drift(self, id: str, desk: Client) -> None:
        run = ReconciliationRun.objects.create(kind="sweep")
        record_members(run, "invoice", [InvoiceObject() | {"id": id}])
        drift = Drift.objects.get()
        assert drift.kind == Drift.Kind.UNREADABLE
        for page in ("/admin/invoices/drift/", url_of("drift", drift.pk), url_of("reconciliationrun", run.pk)):
            assert desk.get(page).status_code == 200, page

    def test_a_member_that_is_no_id_names_nothing(self) -> None:
        assert expandable_id({"customer": "cus/1"}, "customer") is None
        assert expandable_id({"customer": {"id": "cus_1\n"}}, "customer") is None
        assert expandable_id({"customer": {"id": "cus_1"}}, "customer") == "cus_1"

    @pytest.mark.parametrize("id", ["in_1", "cus_ABC", "evt_1ABC", "py_1", "12345", "ann@example.com", "a-b.c:d", "_x"])
    def test_stripes_ids_are_ids(self, id: str) -> None:
        assert is_id(id) and url_of("invoice", id).endswith(f"/{quote(id, safe='@:')}/")

    def test_a_number_and_a_name_are_one_line(self) -> None:
        assert text({"number": "A-1\r\nBcc: x@y\x00\u2028z"}, "number") == "A-1  Bcc: x@y z"


class TestRowsOfBefore:
    """A version before this one may have stored such ids: pages answer, and link to a search."""

    @pytest.mark.parametrize("id", ["in/1", "..", "in_1?x=1#y", "in 1", "=1+1", "in_a/b"])
    def test_pages_and_lists(self, id: str, client: Client) -> None:
        client.force_login(user_in_group("boss", "Billing manager"))
        stored(InvoiceObject(id=id))
        stored(CustomerObject(id=id))
        for page in ("invoice/", f"invoice/?q={quote(id)}", "customer/", f"customer/?q={quote(id)}", "", "event/"):
            assert client.get(f"/admin/invoices/{page}" if page else "/admin/").status_code == 200, page
        assert "href" in object_link("invoice", id)
        for name in ("invoice", "customer"):
            assert client.get(url_of(name, id)).status_code == 200
            of_django = f"/admin/invoices/{name}/{quote(django_quote(id))}/change/"
            assert client.get(of_django).status_code in (302, 404)

    def test_a_search_for_what_no_address_names(self, desk: Client) -> None:
        assert desk.get("/admin/invoices/invoice/?q=in_a/b").status_code == 200
        assert b"Fetch in_ab from Stripe" in desk.get("/admin/invoices/invoice/?q=in_ab").content
