"""What the desk itself takes for an action, beyond Stripe's time: `pay` through the API and through the admin's form.

    [DATABASE_URL=postgresql://…] [CELERY_BROKER_URL=redis://…] python -m benchmarks.actions [actions]

Each invoice is made at the sandbox and paid through the whole stack of Django, in this process. The time within each
request to the sandbox is measured and taken off: what is left is the desk's own. Prints its median and 95th percentile,
the CPU time of the thread, and the statements, commits and requests to Stripe of one action.
"""

from __future__ import annotations

import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.setting import database, sandbox

WARM_UP = 5  # actions that are not counted


@dataclass
class Measured:
    """What each action took; times in milliseconds."""

    whole: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    statements: list[int] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    def tell(self, what: str) -> None:
        own, cpu = sorted(self.own[WARM_UP:]), sorted(self.cpu[WARM_UP:])
        last = int(len(own) * 0.95)
        print(
            f"{what:8} own time p50 {statistics.median(own):6.1f} p95 {own[last]:6.1f} ms, CPU p50 "
            f"{statistics.median(cpu):6.1f} p95 {cpu[last]:6.1f} ms; {statistics.median(self.statements):.0f} "
            f"statements, {statistics.median(self.commits):.0f} commits, {statistics.median(self.requests):.0f} "
            f"requests to Stripe; the whole {statistics.median(self.whole[WARM_UP:]):6.1f} ms",
            flush=True,
        )


@contextmanager
def counted(measured: Measured) -> Iterator[None]:
    """Measures what is done within, in this thread."""
    from django.db import connection
    from django.db.backends.base.base import BaseDatabaseWrapper

    from invoices.deadline import DeadlineSession

    at_stripe, cpu_at_stripe, statements, commits, requests = 0.0, 0.0, 0, 0, 0
    commit, request = BaseDatabaseWrapper._commit, DeadlineSession.request  # type: ignore[attr-defined]

    def count_statement(execute: Callable[..., Any], sql: str, *given: Any) -> Any:
        nonlocal statements, commits
        statements += 1
        if not connection.in_atomic_block and sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            commits += 1
        return execute(sql, *given)

    def count_commit(self: Any) -> None:
        nonlocal commits
        commits += 1
        commit(self)

    def count_request(self: Any, *given: Any, **options: Any) -> Any:
        nonlocal at_stripe, cpu_at_stripe, requests
        requests += 1
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            return request(self, *given, **options)
        finally:
            at_stripe += time.perf_counter() - began
            cpu_at_stripe += time.thread_time() - cpu

    BaseDatabaseWrapper._commit, DeadlineSession.request = count_commit, count_request  # type: ignore[attr-defined,method-assign]
    began, cpu = time.perf_counter(), time.thread_time()
    try:
        with connection.execute_wrapper(count_statement):
            yield
    finally:
        whole = time.perf_counter() - began
        BaseDatabaseWrapper._commit, DeadlineSession.request = commit, request  # type: ignore[attr-defined,method-assign]
    measured.whole.append(whole * 1000)
    measured.own.append((whole - at_stripe) * 1000)
    measured.cpu.append((time.thread_time() - cpu - cpu_at_stripe) * 1000)
    measured.statements.append(statements)
    measured.commits.append(commits)
    measured.requests.append(requests)


def main(number: int) -> None:
    from django.test import Client

    from invoices.models import ApiToken
    from tests.factories import customer_at, user_in_group
    from tests.helpers.admin_pages import action_url, form_data

    agent = user_in_group("agent", "Support agent")
    key = ApiToken.objects.create(user=agent, name="benchmark", created_by=agent)[1]
    api, admin = Client(), Client()
    admin.force_login(agent)
    with sandbox(0) as stripe:
        customer = customer_at(stripe).id
        through_api, through_admin = Measured(), Measured()
        for _ in range(WARM_UP + number):
            first, second = _invoice(stripe, customer), _invoice(stripe, customer)
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid.uuid4().hex}
            with counted(through_api):
                answer = api.post(f"/v1/invoices/{first}/pay", {}, content_type="application/json", headers=headers)
            assert answer.status_code == 200 and answer.json()["status"] == "paid", answer.content
            form = form_data(admin, second, "pay")
            with counted(through_admin):
                answer = admin.post(action_url(second, "pay"), form)
            assert answer.status_code == 302, answer.content
        through_api.tell("API")
        through_admin.tell("admin")


def _invoice(stripe: Any, customer: str) -> str:
    from invoices import refetch
    from tests.factories import invoice_at

    made = invoice_at(stripe, customer=customer)
    refetch.refetch("invoice", made.id)
    return str(made.id)


if __name__ == "__main__":
    with database():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
