"""Whatever is not 200: Stripe's error envelope, made from any exception."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

log = logging.getLogger(__name__)

DOC_URL = "https://stripe.com/docs/error-codes/"
DOCUMENTED = frozenset(  # Stripe's own codes; ours have no page there
    "parameter_unknown parameter_missing parameter_invalid_integer parameter_invalid_empty resource_missing "
    "api_key_expired account_invalid card_declined".split()
)
HELP = "Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
SLASH = (
    " If you are trying to list objects, remove the trailing slash. If you are trying to retrieve an object, make sure "
    "you passed a valid (non-empty) identifier in your code."
)
CONTENT_TYPE = (
    "Invalid request (check that your POST content type is application/x-www-form-urlencoded or application/json)."
)
REQUEST_ID = "invoice_desk.request_id"  # in request.META


class ApiError(exceptions.APIException):
    """An answer in Stripe's error envelope. `members` are what the error says beyond the five common ones."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(message)
        self.status_code, self.message, self.headers = status, message, headers or {}
        doc_url = DOC_URL + code.replace("_", "-") if code in DOCUMENTED and code else None
        error = {"code": code, "doc_url": doc_url, "message": message, "param": param, "type": type, **members}
        self.error = {name: value for name, value in sorted(error.items()) if value is not None}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: a parameter that cannot be."""
    return ApiError(400, message, param=param, code=code)


def unknown_parameters(names: list[str]) -> ApiError:
    """400, in Stripe's words; the first one is the `param`."""
    plural = "s" if len(names) > 1 else ""
    return invalid(f"Received unknown parameter{plural}: {', '.join(names)}", names[0], "parameter_unknown")


def empty_parameter(name: str) -> ApiError:
    """400: an empty value is an attempt to unset, and nothing here can be unset."""
    message = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    )
    return invalid(message, name, "parameter_invalid_empty")


def missing(noun: str, id: str, param: str, status: int = 404) -> ApiError:
    """404, or 400 for an id that stands in a parameter."""
    return ApiError(status, f"No such {noun}: '{id}'", code="resource_missing", param=param)


def unrecognized(request: HttpRequest) -> ApiError:
    """404: no such address, or not with this method."""
    hint = SLASH if request.path.endswith("/") else ""
    return ApiError(404, f"Unrecognized request URL ({request.method}: {request.path}).{hint} {HELP}")


def too_large() -> ApiError:
    return ApiError(413, "The request is larger than we accept.")


def denied(what: str) -> ApiError:
    """403: the key is known, and may not do this."""
    message = f"The provided key does not have the required permissions for this endpoint: {what}."
    return ApiError(403, message, code="permission_denied")


def of_exception(error: Exception, request: Any) -> ApiError:
    """The closed table from exceptions to envelopes; what is not listed is our own fault, logged, and a 500."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, exceptions.MethodNotAllowed | exceptions.NotFound | Http404):
        return unrecognized(request)
    if isinstance(error, exceptions.UnsupportedMediaType):
        return invalid(CONTENT_TYPE)
    if isinstance(error, exceptions.PermissionDenied | PermissionDenied):
        return denied(str(error))
    if isinstance(error, RequestDataTooBig):
        return too_large()
    if isinstance(error, exceptions.ParseError | SuspiciousOperation):
        return invalid(f"Invalid request: {error}")
    log.error("%s %s failed (%s)", request.method, request.path, request.META.get(REQUEST_ID), exc_info=error)
    return ApiError(500, "An unknown error occurred. Please try again.", type="api_error")


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: always an answer, never a page."""
    refused = of_exception(error, context["request"])
    return Response({"error": refused.error}, status=refused.status_code, headers=refused.headers)


# --- where Django answers before any view does -----------------------------------------------------------------------


def _is_ours(request: HttpRequest) -> bool:
    return request.path.startswith("/v1/") or request.path == "/v1"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: an envelope below /v1, Django's page elsewhere."""
    if not _is_ours(request):
        return defaults.bad_request(request, exception)
    refused = too_large() if isinstance(exception, RequestDataTooBig) else invalid("Invalid request.")
    return JsonResponse({"error": refused.error}, status=refused.status_code)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: an envelope below /v1, Django's page elsewhere."""
    if not _is_ours(request):
        return defaults.server_error(request)
    refused = ApiError(500, "An unknown error occurred. Please try again.", type="api_error")
    return JsonResponse({"error": refused.error}, status=500)
