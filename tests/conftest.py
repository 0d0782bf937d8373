"""What many tests need: a sandbox that stands for Stripe, people of each group, and the way events arrive."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.handlers.base import BaseHandler
from django.db import OperationalError
from django.test import Client, TransactionTestCase
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from invoices import account, clock, gateway, refetch, sync
from invoices.api import live
from tests.crash.wire import Wire
from tests.factories import invoice_at, user_in_group
from tests.helpers import described
from tests.helpers.database import Emptier
from tests.helpers.endpoint_receiver import Service, service
from tests.helpers.events import WEBHOOK_SECRET, sign
from tests.sandbox_process import SandboxProcess

# A shell that runs the suite in the background has it ignore SIGINT, and every process that a test starts would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The workers and the many processes that tests start load what one of them has compiled, instead of compiling it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

LONGEST_FIRST = (
    "tests/test_demo.py",
    "tests/test_readme.py",
    "tests/crash/test_crash_matrix.py",
    "tests/journeys/test_storm.py",
    "tests/journeys/test_browser.py",
    "tests/journeys/test_convergence.py",
    "tests/journeys/test_new_action.py",
    "tests/test_mirror.py",
)

ON_ONE_WORKER = {  # their tests share a demo, a browser or a sandbox, and some go on where the one before ended
    "tests/test_demo.py",
    "tests/journeys/test_browser.py",
    "tests/sandbox/test_contract.py",
    "tests/sandbox/test_machine.py",
    "tests/sandbox/test_seeds.py",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many workers `-n auto` starts: for the whole suite one more than processors, because tests often wait.

    Where files or names are chosen, none: the tests run in this process, and begin at once.
    """
    chosen = config.args != config.getini("testpaths") or config.option.keyword or config.option.markexpr
    return 0 if chosen else (os.cpu_count() or 1) + 1


class ModulesWithOneProcess(LoadScopeScheduling):
    """Gives each test to the first worker that is free, and all tests of the modules above to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in ON_ONE_WORKER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ModulesWithOneProcess:
    config.option.loadscopereorder = False  # the order is that of pytest_collection_modifyitems
    return ModulesWithOneProcess(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first, so that no worker is still busy with one when the others have ended."""
    order = {path: number for number, path in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A pytest worker can send only valid UTF-8, and some tests log half a surrogate pair."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest,
    django_test_environment: None,
    django_db_blocker: DjangoDbBlocker,
    django_db_keepdb: bool,
    django_db_createdb: bool,
    django_db_modify_db_settings: None,
) -> Iterator[None]:
    """The tables; emptied after each test that commits, in our own quicker way.

    pytest-django's own fixture makes them only where one of the chosen tests has its mark. Those of tests/test_lists.py
    that share their rows have none, and would find the database of DATABASE_URL.
    """
    with django_db_blocker.unblock():
        keeps = django_db_keepdb and not django_db_createdb
        made = setup_databases(verbosity=0, interactive=False, serialized_aliases=set(), keepdb=keeps)
        emptier = Emptier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: emptier.empty())
        yield
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            try:
                teardown_databases(made, verbosity=0)
            except OperationalError as error:  # a process of a test is still ending; the next run makes it anew
                request.node.warn(pytest.PytestWarning(f"The tests' database stays: {error}"))


class EveryKey(dict[str, float]):
    """What this process remembers of keys: that it has asked whose each of them is, and will not ask again."""

    def get(self, fingerprint: str, default: Any = None) -> float:
        return float("inf")


@pytest.fixture(autouse=True)
def key_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process knows whose the key is, as it does a minute after its start, so no test pays for that question.
    tests/test_account.py takes this away again."""
    monkeypatch.setattr(account, "_remembered", EveryKey())


@pytest.fixture(scope="session")
def _sandbox_process() -> Iterator[SandboxProcess]:
    with SandboxProcess(webhook_secret=WEBHOOK_SECRET) as process:
        yield process


@pytest.fixture
def sandbox(_sandbox_process: SandboxProcess, settings: Any) -> Iterator[SandboxProcess]:
    """Stripe, empty and without faults, real time, and no webhooks until a test says where to."""
    _sandbox_process.webhook(None)
    _sandbox_process.reset()  # of faults and clock too
    settings.STRIPE_API_BASE = _sandbox_process.url
    settings.STRIPE_SECRET_KEY = _sandbox_process.key
    yield _sandbox_process
    _sandbox_process.clear_faults()


@pytest.fixture
def wire(sandbox: SandboxProcess, settings: Any) -> Iterator[Wire]:
    """Stripe, behind a wire on which one thing goes wrong."""
    with Wire(sandbox) as wire:
        settings.STRIPE_API_BASE = wire.url
        yield wire


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Pushes our clock on by so many seconds."""
    now, ahead = clock.now, [0.0]
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(seconds=ahead[0]))

    def push(seconds: float) -> None:
        ahead[0] += seconds

    return push


@pytest.fixture
def post_event(client: Client) -> Callable[..., Any]:
    """Posts a body, signed, to the webhook endpoint."""

    def post(event: dict[str, Any] | bytes, **options: Any) -> Any:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return client.post(
            "/webhooks/stripe",
            body,
            content_type="application/json",
            headers={"Stripe-Signature": sign(body, **options)},
        )

    return post


@pytest.fixture
def deliver(sandbox: SandboxProcess, post_event: Callable[..., Any]) -> Callable[[], int]:
    """Brings every event of the sandbox that has not been brought yet, oldest first, and processes them."""
    brought: set[str] = set()

    def bring() -> int:
        events = list(gateway.walk("/v1/events"))
        new = [event for event in reversed(events) if event["id"] not in brought]
        for event in new:
            assert post_event(event).status_code == 200
            brought.add(event["id"])
        sync.process_events()
        return len(new)

    return bring


@pytest.fixture(autouse=True)
def replies_are_as_described(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every reply of the API that this process sends, to Django's test client or by the live server, is compared with
    the API's description. The test fails at its end, because the reply may be sent in another thread.

    `pytest.mark.odd_objects` is for tests in which the mirror holds what Stripe would not send: Stripe's objects are
    then not looked into.
    """
    answer = BaseHandler.get_response
    odd = request.node.get_closest_marker("odd_objects") is not None
    found: list[str] = []

    def get_response(handler: BaseHandler, asked: Any) -> Any:
        response = answer(handler, asked)
        if asked.path == "/v1" or asked.path.startswith("/v1/"):
            method, path = asked.method, asked.path
            body = described.plain_body(response)
            faults = described.faults(method, path, response.status_code, response.headers, body, odd=odd)
            found.extend(f"{method} {path} → {response.status_code}: {fault}" for fault in faults)
        return response

    monkeypatch.setattr(BaseHandler, "get_response", get_response)
    yield
    if found:
        pytest.fail("Not as /api/schema/ describes it:\n" + "\n".join(dict.fromkeys(found)), pytrace=False)


@pytest.fixture(autouse=True)
def stripe_answers_again() -> None:
    """What a test before learned of Stripe's silence, and of what Stripe does not have, is forgotten."""
    sync.rest.end()
    live.forget()


@pytest.fixture
def agent(db: None) -> User:
    return user_in_group("agent", "Support agent")


@pytest.fixture
def manager(db: None) -> User:
    return user_in_group("manager", "Billing manager")


@pytest.fixture
def auditor(db: None) -> User:
    return user_in_group("auditor", "Auditor")


@pytest.fixture
def finance(db: None) -> User:
    return user_in_group("finance", "Finance")


@pytest.fixture
def desk(client: Client, agent: User) -> Client:
    """The admin, with a support agent signed in."""
    client.force_login(agent)
    return client


@pytest.fixture
def open_invoice(sandbox: SandboxProcess) -> Any:
    """An open invoice of USD 10.00 whose customer has a good card, at Stripe and in the mirror."""
    invoice = invoice_at(sandbox)
    refetch.refetch("invoice", invoice.id)
    return invoice


@pytest.fixture
def services_here(settings: Any) -> None:
    """Services on this machine may be sent events, and are not waited for long."""
    settings.WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.WEBHOOK_ENDPOINTS_TIMEOUT_SECONDS = 2.0


@pytest.fixture
def receiver() -> Iterator[Service]:
    """One of the company's services, on this machine."""
    with service() as serving:
        yield serving
