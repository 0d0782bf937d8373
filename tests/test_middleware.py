"""Middleware: every response has a request id."""

import re

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from backoffice.middleware import RequestIdMiddleware
from invoices.api import mirror_views
from invoices.health.probe import Probe
from invoices.request_origin import origin, request_id

OUR_REQUEST_ID = re.compile(r"req_[0-9a-f]{24}")


class TestRequestIds:
    @pytest.mark.parametrize("path", ["/v1/invoices", "/v1/nothing", "/nothing", "/admin/login/"])
    def test_every_response_has_one_found_or_not_signed_in_or_not(self, client, db, path):
        first, second = client.get(path)["X-Request-ID"], client.get(path)["X-Request-ID"]
        assert OUR_REQUEST_ID.fullmatch(first) and OUR_REQUEST_ID.fullmatch(second)
        assert first != second

    def test_a_webhook_response_has_one(self, client):
        response = client.post("/webhooks/stripe", data=b"{}", content_type="application/json")
        assert response.status_code == 400 and OUR_REQUEST_ID.fullmatch(response["X-Request-ID"])

    def test_a_csrf_refusal_has_one(self, db):
        response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})
        assert response.status_code == 403 and OUR_REQUEST_ID.fullmatch(response["X-Request-ID"])

    def test_a_host_that_is_not_ours_is_refused_with_one(self, client):
        response = client.get("/v1/invoices", headers={"Host": "elsewhere.example.com"})
        assert response.status_code == 400
        assert OUR_REQUEST_ID.fullmatch(response["X-Request-ID"])
        assert response["Request-Id"] == response["X-Request-ID"]

    def test_a_500_page_has_one(self, client, monkeypatch):
        def fail(check):
            raise RuntimeError("broken")

        monkeypatch.setattr(Probe, "begin", fail)
        client.raise_request_exception = False
        response = client.get("/readyz")
        assert response.status_code == 500 and OUR_REQUEST_ID.fullmatch(response["X-Request-ID"])

    def test_a_500_of_the_api_before_its_view_runs_has_both_headers(self, client, monkeypatch):
        def fail(self, request, *args, **kwargs):
            raise RuntimeError("broken")

        monkeypatch.setattr(mirror_views.InvoiceView, "initialize_request", fail)
        client.raise_request_exception = False
        response = client.get("/v1/invoices/in_1")
        assert response.status_code == 500 and OUR_REQUEST_ID.fullmatch(response["X-Request-ID"])
        assert response["Request-Id"] == response["X-Request-ID"]

    def test_the_api_answers_with_the_same_id_in_stripes_header(self, client, db):
        response = client.get("/v1/invoices", headers={"X-Request-ID": "0af7651916cd43dd"})
        assert response["Request-Id"] == response["X-Request-ID"] == "0af7651916cd43dd"

    @pytest.mark.parametrize(
        "wrong", ["", "short", "x" * 129, "<script>alert(1)</script>", "two words here", "id\u00e9" * 9]
    )
    def test_an_odd_id_of_the_proxy_is_replaced(self, wrong):
        request = RequestFactory().get("/", headers={"X-Request-ID": wrong})
        response = RequestIdMiddleware(lambda request: HttpResponse())(request)
        assert OUR_REQUEST_ID.fullmatch(response["X-Request-ID"])
        assert request_id(request) == response["X-Request-ID"]
        assert origin(request) == {"address": "127.0.0.1", "request_id": response["X-Request-ID"]}

    @pytest.mark.parametrize("given", ["8letters", "x" * 128, "Root=1-67891233-abcdef012345678912345678"])
    def test_an_ordinary_id_of_the_proxy_is_kept(self, given):
        request = RequestFactory().get("/", headers={"X-Request-ID": given})
        assert RequestIdMiddleware(lambda request: HttpResponse())(request)["X-Request-ID"] == given


class TestThePolicyForBrowsers:
    """Content-Security-Policy, also where a request is answered before its view, or instead of it."""

    @pytest.mark.parametrize("path", ["/v1/invoices", "/v1/nothing", "/nothing", "/admin/login/", "/readyz"])
    def test_a_host_that_is_not_ours(self, client, db, path):
        response = client.get(path, headers={"Host": "elsewhere.example.com"})
        assert response.status_code == 400 and "default-src 'self'" in response["Content-Security-Policy"]

    @pytest.mark.parametrize("path", ["/v1/invoices", "/admin/login/"])
    def test_a_redirect_to_https(self, client, settings, path):
        settings.SECURE_SSL_REDIRECT = True
        response = client.get(path)
        assert response.status_code == 301 and "default-src 'self'" in response["Content-Security-Policy"]

    def test_a_500_of_the_api(self, client, monkeypatch):
        def fail(self, request, *args, **kwargs):
            raise RuntimeError("broken")

        monkeypatch.setattr(mirror_views.InvoiceView, "initialize_request", fail)
        client.raise_request_exception = False
        response = client.get("/v1/invoices/in_1")
        assert response.status_code == 500 and "default-src 'self'" in response["Content-Security-Policy"]

    @pytest.mark.parametrize("path", ["/v1/invoices", "/v1", "/admin/login/", "/nothing"])
    def test_any_other_answer_has_one(self, client, db, path):
        assert "default-src 'self'" in client.get(path)["Content-Security-Policy"]
