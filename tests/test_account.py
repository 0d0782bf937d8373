"""The right account: a key of another account or mode reads nothing and changes nothing, whoever uses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from invoices import account, gateway, intake, journal, reconcile, refetch, scheduled_refetches, sync
from invoices.models import (
    MIRRORED,
    AccountRecord,
    CheckedKey,
    Event,
    Invoice,
    JournalLink,
    Operation,
    ReconciliationRun,
    Removal,
)
from tests.crash.wire import STRIPES, Answer, Wire
from tests.factories import InvoiceObject, invoice_at, stored
from tests.helpers.commands import run_command
from tests.helpers.database import without_triggers
from tests.helpers.operations import act
from tests.helpers.stripe_state import make_all_due
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_is_remembered(key_is_known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just begun."""
    monkeypatch.setattr(account, "_remembered", {})


@pytest.fixture(scope="module")
def _other_process() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def use(sandbox: SandboxProcess, _other_process: SandboxProcess, settings: Any) -> Callable[[str], SandboxProcess]:
    """Gives the desk the key of one of two accounts, `own` or `other`, as in a new process."""
    _other_process.reset()
    processes = {"own": sandbox, "other": _other_process}

    def use(name: str) -> SandboxProcess:
        settings.STRIPE_API_BASE = processes[name].url
        account._remembered.clear()
        return processes[name]

    return use


def id_of(process: SandboxProcess) -> str:
    return str(process.client().v1.accounts.retrieve_current().id)


def state_of_mirror() -> list[Any]:
    return [list(model.rows.order_by("pk").values_list()) for model in MIRRORED.values()]


def asked(process: SandboxProcess) -> int:
    return int(process.stats()["requests"].get("GET /v1/account", 0))


class TestAKeyOfAnotherAccount:
    def test_reads_nothing_and_changes_nothing(self, use: Callable[[str], SandboxProcess], manager: User) -> None:
        own = use("own")
        draft, paid = invoice_at(own, finalize=False).id, invoice_at(own).id
        assert run_command("reconcile", "--full")[0] == 0
        assert AccountRecord.objects.get().account == id_of(own)

        other = use("other")
        for _ in range(3):
            invoice_at(other)
        before, requests = state_of_mirror(), other.stats()["requests"]
        for arguments in ([], ["--full"], ["--invoice", draft], ["--verify"]):
            code, output = run_command("reconcile", "--json", *arguments)
            said = json.loads(output)
            assert code == 1 and id_of(own) in said["error"] and id_of(other) in said["error"], arguments
            assert "Nothing was read or changed." in said["error"] and said["seen"] == 0
        with pytest.raises(gateway.WrongAccount):
            reconcile.catch_up()
        scheduled_refetches.schedule([("invoice", draft)])
        make_all_due()
        sync.perform_refetches()
        with pytest.raises(gateway.WrongAccount):
            refetch.refetch("invoice", draft)
        operation = act("void", paid, manager)
        assert operation.state in (Operation.State.FAILED, Operation.State.REFUSED) and operation.calls == []
        assert id_of(own) in operation.message, operation.message
        assert state_of_mirror() == before
        new = {name for name, count in other.stats()["requests"].items() if count != requests.get(name, 0)}
        assert new <= {"GET /v1/account"}

        use("own")
        assert run_command("reconcile")[0] == 0
        before_proof = asked(own)
        assert run_command("reconcile", "--verify")[0] == 0
        assert asked(own) > before_proof  # whose the key is, it asks anew

    def test_of_the_other_mode(self, use: Callable[[str], SandboxProcess], settings: Any, wire: Wire) -> None:
        own = use("own")
        settings.STRIPE_API_BASE = wire.url
        assert run_command("reconcile")[0] == 0
        settings.STRIPE_SECRET_KEY = "rk_live_somebody"
        wire.replies_to_get["/v1/account"] = Answer(
            200, json.dumps({"object": "account", "id": id_of(own)}).encode(), STRIPES
        )
        code, output = run_command("reconcile", "--json")
        error = json.loads(output)["error"]
        assert code == 1 and "live mode, but this mirror" in error and "test mode" in error

    def test_that_the_setting_contradicts(self, use: Callable[[str], SandboxProcess], settings: Any) -> None:
        own = use("own")
        settings.STRIPE_ACCOUNT = "acct_another"
        with pytest.raises(gateway.WrongAccount, match=rf"{id_of(own)}, but STRIPE_ACCOUNT says acct_another"):
            gateway.read("/v1/invoices")
        assert not AccountRecord.objects.exists()


class TestWhoseTheKeyIs:
    def test_is_asked_once_a_day_and_not_once_in_each_process(
        self, use: Callable[[str], SandboxProcess], later: Callable[[float], None], wire: Wire, settings: Any
    ) -> None:
        own = use("own")
        settings.STRIPE_API_BASE = wire.url
        for _ in range(3):
            account._remembered.clear()  # another process
            gateway.read("/v1/invoices")
        assert asked(own) == 1
        later(25 * 3600)
        account._remembered.clear()
        wire.replies_to_get["/v1/account"] = Answer.error(500, type="api_error", message="An error at Stripe.")
        assert gateway.read("/v1/invoices").data["object"] == "list"  # what Stripe said before stands
        del wire.replies_to_get["/v1/account"]
        account._remembered.clear()
        gateway.read("/v1/invoices")
        assert asked(own) == 3  # the wire passes on what it answers itself

    def test_a_run_asks_anew(self, use: Callable[[str], SandboxProcess]) -> None:
        """The account behind the same key and address is another one: a stand-in was started on other data."""
        own = use("own")
        assert run_command("reconcile")[0] == 0
        own.reset()
        account._remembered.clear()
        code, output = run_command("reconcile", "--json")
        assert code == 1 and "but this mirror is of account" in json.loads(output)["error"]

    def test_stripe_is_away_when_a_key_is_new(self, wire: Wire) -> None:
        wire.replies_to_get["/v1/account"] = Answer.error(500, type="api_error", message="An error at Stripe.")
        with pytest.raises(gateway.OutcomeUnknown):
            gateway.read("/v1/invoices")
        assert not AccountRecord.objects.exists()

    @pytest.mark.parametrize(
        ("message", "setting", "expected"),
        [
            (
                "The provided key 'rk_test_*********abc' does not have the required permissions for this endpoint on "
                "account 'acct_1Restricted'. Having more permissions would allow this request to continue.",
                "",
                "acct_1Restricted",
            ),
            ("This key may not do that.", "acct_1FromTheSettings", "acct_1FromTheSettings"),
        ],
    )
    def test_a_restricted_key_may_not_read_the_account(
        self, wire: Wire, settings: Any, message: str, setting: str, expected: str
    ) -> None:
        settings.STRIPE_ACCOUNT = setting
        wire.replies_to_get["/v1/account"] = Answer.error(403, type="invalid_request_error", message=message)
        gateway.read("/v1/invoices")
        assert AccountRecord.objects.get().account == CheckedKey.objects.get().account == expected

    def test_nobody_can_tell(self, wire: Wire) -> None:
        wire.replies_to_get["/v1/account"] = Answer.error(403, type="invalid_request_error", message="No.")
        with pytest.raises(gateway.WrongAccount, match=r"Set STRIPE_ACCOUNT=acct_…"):
            gateway.read("/v1/invoices")
        wire.replies_to_get["/v1/account"] = Answer.error(401, type="invalid_request_error", message="Invalid API Key")
        with pytest.raises(gateway.NotAllowed):
            gateway.read("/v1/invoices")

    def test_a_mirror_without_a_record_is_of_the_account_that_has_its_invoices(
        self, use: Callable[[str], SandboxProcess]
    ) -> None:
        """As after an upgrade, or where webhooks came before the first import."""
        own = use("own")
        stored(InvoiceObject(id=invoice_at(own).id))
        use("other")
        with pytest.raises(gateway.WrongAccount, match="has no invoice"):
            gateway.read("/v1/invoices")
        assert not AccountRecord.objects.exists()
        use("own")
        gateway.read("/v1/invoices")
        assert AccountRecord.objects.get().account == id_of(own)
        stored(InvoiceObject(id="in_foreign"))  # and where it holds others too, a person says which is the right one
        with without_triggers():
            AccountRecord._base_manager.all().delete()
        account._remembered.clear()
        with pytest.raises(gateway.WrongAccount, match=r"`manage\.py account adopt` says so"):
            gateway.read("/v1/invoices")
        call_command("account", "adopt", "--reason", "in_foreign is of another account")
        gateway.read("/v1/invoices")


@pytest.mark.django_db
def test_two_threads_that_begin_at_once_record_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one has looked before the first one wrote."""
    account._remembered.clear()
    account.check(lambda: "acct_1", lambda *names: True, ConnectionError)
    account._remembered.clear()
    monkeypatch.setattr(account, "recorded", lambda: None)
    account.check(lambda: "acct_1", lambda *names: True, ConnectionError)
    assert AccountRecord.objects.get().number == 1


class TestSayingWhichAccount:
    def test_a_mirror_with_rows_is_not_given_to_another(self, use: Callable[[str], SandboxProcess]) -> None:
        own = use("own")
        invoice_at(own)
        assert run_command("reconcile")[0] == 0
        other = use("other")
        with pytest.raises(CommandError, match="holds rows of account"):
            call_command("account", "adopt", "--reason", "the company moved")
        for model in MIRRORED.values():
            model.rows.all().delete()
        with pytest.raises(gateway.WrongAccount):  # an empty mirror changes hands only where a person says so
            gateway.read("/v1/invoices")
        with pytest.raises(CommandError, match="--reason"):
            call_command("account", "adopt")
        call_command("account", "adopt", "--reason", "the company moved")
        made = AccountRecord.objects.get(number=2)
        assert (made.account, made.reason) == (id_of(other), "the company moved") and "@" in made.recorded_by
        assert run_command("reconcile")[0] == 0

    def test_is_shown(self, use: Callable[[str], SandboxProcess], capsys: pytest.CaptureFixture[str]) -> None:
        own = use("own")
        call_command("account")
        assert "of no account yet" in capsys.readouterr().out
        gateway.read("/v1/invoices")
        call_command("account")
        assert f"This mirror is of account {id_of(own)}, test mode" in capsys.readouterr().out


class TestForeignRows:
    @pytest.fixture
    def night(self, use: Callable[[str], SandboxProcess], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """A night with a wrong key, as a version without the check had it."""
        own = use("own")
        drafts = [invoice_at(own, finalize=False).id for _ in range(2)]
        invoice_at(own)
        assert run_command("reconcile", "--full")[0] == 0
        other = use("other")
        foreign = [invoice_at(other).id for _ in range(3)]
        with monkeypatch.context() as unchecked:
            unchecked.setattr(account, "check", lambda *questions: None)
            assert run_command("reconcile")[0] != 1
            run = reconcile_run()
        assert Invoice.objects.filter(pk__in=drafts, deleted_at=None).count() == 0
        assert Invoice.objects.filter(pk__in=foreign).count() == 3
        use("own")
        return {"drafts": drafts, "foreign": foreign, "run": run, "own": own}

    def test_are_removed_on_record_and_wrongly_deleted_drafts_come_back(self, night: dict[str, Any]) -> None:
        first, second = night["drafts"]
        refetch.refetch("invoice", first)  # a named refetch repairs one
        assert Invoice.objects.get(pk=first).deleted_at is None
        assert run_command("reconcile", "--full")[0] == 4  # a full run all; the foreign rows are left
        assert Invoice.objects.get(pk=second).deleted_at is None
        assert run_command("reconcile", "--verify")[0] == 3

        before = state_of_mirror()
        code, output = run_command("remove_foreign", "--run", str(night["run"]), "--reason", "a wrong key at night")
        assert code == 0 and all(id in output for id in night["foreign"]) and "Nothing was removed" in output
        assert first not in output.split("Stripe has")[0]
        assert state_of_mirror() == before and not Removal.objects.exists()

        code, output = run_command(
            "remove_foreign", "--run", str(night["run"]), "--reason", "a wrong key at night", "--really"
        )
        assert code == 0
        assert not Invoice.rows.filter(pk__in=night["foreign"]).exists()
        removed = Removal.objects.get(object_id=night["foreign"][0])
        assert removed.reason == "a wrong key at night" and "@" in removed.removed_by
        assert removed.account == id_of(night["own"]) and removed.held["status"] == "open"
        assert run_command("reconcile", "--verify")[0] == 0
        assert run_command("reconcile", "--full")[0] in (0, 3)
        journal.chain()
        assert JournalLink.objects.filter(kind="removal").count() == Removal.objects.count()
        assert journal.verify().finding is None

    def test_what_is_not_removed(self, night: dict[str, Any], manager: User) -> None:
        own, foreign = Invoice.objects.filter(status="open").exclude(pk__in=night["foreign"]).get(), night["foreign"]
        Operation.objects.create(action="void", invoice=foreign[0], actor=manager, source="admin", state="ready")
        code, output = run_command(
            "remove_foreign", own.pk, *foreign[:2], "in_nowhere", "--reason", "a wrong key", "--really"
        )
        assert code == 1
        assert f"{own.pk}  left: Stripe has it" in output
        assert f"{foreign[0]}  left: an operation on it is not finished" in output
        assert "in_nowhere  left: the mirror has no such row" in output
        assert [row.object_id for row in Removal.objects.all()] == [foreign[1]]
        with pytest.raises(CommandError, match="--reason"):
            call_command("remove_foreign", foreign[2])
        with pytest.raises(CommandError, match="Name rows, or a run"):
            call_command("remove_foreign", "--reason", "x")


def reconcile_run() -> int:
    run = ReconciliationRun.objects.filter(kind="sweep").order_by("-started_at").first()
    assert run is not None
    return run.pk


class TestIgnoredEvents:
    def test_are_judged_again_by_todays_settings(
        self, sandbox: SandboxProcess, deliver: Callable[[], int], settings: Any
    ) -> None:
        right = settings.STRIPE_SECRET_KEY
        settings.STRIPE_SECRET_KEY = "sk_live_the_wrong_one"
        made = sandbox.client(key=right)
        customer = made.v1.customers.create({"name": "Example"})
        events = made.v1.events.list({"limit": 10}).data
        intake.journal([intake.event_row(json.loads(str(event))) for event in events])
        other = json.loads(str(events[0])) | {"id": "evt_elsewhere", "account": "acct_elsewhere"}
        intake.journal([intake.event_row(other)])
        assert set(Event.objects.values_list("state", flat=True)) == {"ignored"}
        call_command("replay_events")
        assert set(Event.objects.values_list("state", flat=True)) == {"ignored"}
        settings.STRIPE_SECRET_KEY = right
        call_command("replay_events")
        assert Event.objects.get(pk=events[0].id).state == "done"
        assert Event.objects.get(pk="evt_elsewhere").state == "ignored"
        assert "of another account" in Event.objects.get(pk="evt_elsewhere").error
        assert MIRRORED["customer"].objects.get(pk=customer.id).data["name"] == "Example"
