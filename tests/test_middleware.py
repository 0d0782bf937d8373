"""The address in the journal: what the proxy saw, and only where there is one."""

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpResponse
from django.test import RequestFactory

from backoffice.middleware import ClientAddress


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [("203.0.113.7", "203.0.113.7"), ("198.51.100.1, 203.0.113.7", "203.0.113.7"), (None, "127.0.0.1")],
)
def test_behind_a_proxy_its_own_entry_counts(settings, forwarded, address):
    settings.BEHIND_PROXY = True
    seen = []
    middleware = ClientAddress(lambda request: seen.append(request.META["REMOTE_ADDR"]) or HttpResponse())
    middleware(RequestFactory().get("/", headers={"X-Forwarded-For": forwarded} if forwarded else {}))
    assert seen == [address]


def test_without_a_proxy_nobody_is_believed(settings):
    settings.BEHIND_PROXY = False
    with pytest.raises(MiddlewareNotUsed):
        ClientAddress(lambda request: HttpResponse())
