"""Error responses: Stripe's error envelope, and the closed table that makes one from any exception."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from invoices.api.stripe_addresses import address_of
from invoices.request_origin import request_id

log = logging.getLogger(__name__)

DOC_URL = "https://stripe.com/docs/error-codes/"
DOCUMENTED_CODES = frozenset(  # Stripe's own codes, each with a page there; ours have none
    "parameter_unknown parameter_missing parameter_invalid_integer parameter_invalid_empty parameters_exclusive "
    "resource_missing api_key_expired account_invalid card_declined".split()
)
HELP_MESSAGE = "Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
TRAILING_SLASH_MESSAGE = (
    " If you are trying to list objects, remove the trailing slash. If you are trying to retrieve an object, make sure "
    "you passed a valid (non-empty) identifier in your code."
)
CONTENT_TYPE_MESSAGE = (
    "Invalid request (check that your POST content type is application/x-www-form-urlencoded or application/json)."
)


class ApiError(exceptions.APIException):
    """An error response. `members` are members of the error beyond the five that every error of Stripe's may have."""

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
        doc_url = DOC_URL + code.replace("_", "-") if code in DOCUMENTED_CODES and code else None
        error = {"code": code, "doc_url": doc_url, "message": message, "param": param, "type": type, **members}
        self.error = {name: value for name, value in sorted(error.items()) if value is not None}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: a parameter has a wrong value, or the request makes no sense."""
    return ApiError(400, message, param=param, code=code)


def unknown_parameters(names: list[str]) -> ApiError:
    """400, in Stripe's words. `param` is the first of them."""
    plural = "s" if len(names) > 1 else ""
    return invalid(f"Received unknown parameter{plural}: {', '.join(names)}", names[0], "parameter_unknown")


def empty_parameter(name: str) -> ApiError:
    """400: Stripe takes an empty value for an attempt to unset the parameter, and no parameter here can be unset."""
    message = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    )
    return invalid(message, name, "parameter_invalid_empty")


def no_such_object(object_type: str, id: str, param: str, status: int = 404) -> ApiError:
    """404 for an id in the address; 400 for an id in a parameter."""
    return ApiError(status, f"No such {object_type}: '{id}'", code="resource_missing", param=param)


def unrecognized_url(request: HttpRequest) -> ApiError:
    """404: no such address, or not with this method."""
    hint = TRAILING_SLASH_MESSAGE if request.path.endswith("/") else ""
    return ApiError(404, f"Unrecognized request URL ({request.method}: {request.path}).{hint} {HELP_MESSAGE}")


def not_served(request: HttpRequest, more: str = "") -> ApiError:
    """404: Stripe has this address, and the desk does not serve it. It says nothing about the object."""
    message = (
        f"The invoice desk does not serve {request.method} {request.path}, which is an address of Stripe's API: ask "
        f"Stripe itself. {more} This does not mean that there is no such object. What the desk serves stands in "
        "/api/docs/."
    )
    return ApiError(404, message.replace("  ", " "), code="not_served")


def unknown_address(request: HttpRequest) -> ApiError:
    """404: `not_served` where Stripe has such an address with this method, otherwise in Stripe's words."""
    if address_of(request.method or "", request.path):
        return not_served(request)
    return unrecognized_url(request)


def too_large() -> ApiError:
    """413: the body is larger than parameters.MAX_BODY_BYTES, or LONG_BODY_BYTES."""
    return ApiError(413, "The request is larger than we accept.")


def permission_denied(permission: str) -> ApiError:
    """403: the key is valid, but its user lacks this permission."""
    message = f"The provided key does not have the required permissions for this endpoint: {permission}."
    return ApiError(403, message, code="permission_denied")


def scope_missing(scope: str) -> ApiError:
    """403: the key's user may do it, or may not: the key is not for it."""
    message = f"The provided key is not for this: it lacks the scope '{scope}'. Use a key that has it."
    return ApiError(403, message, code="permission_denied")


def version_too_old(version: str) -> ApiError:
    """400: the program expects members that our objects do not have."""
    ours, oldest = settings.STRIPE_API_VERSION, settings.STRIPE_OLDEST_VERSION
    message = (
        f"This desk answers in Stripe's API version {ours}, and your request asks for {version}. Before {oldest} an "
        "invoice had `paid`, `charge`, `payment_intent` and `subscription`; now it has not. Use an SDK of that version "
        f"or a later one, or have it send the header Stripe-Version: {ours}. If your program does without those "
        "members, use a key that is made for programs that know other versions."
    )
    return ApiError(400, message, code="stripe_version_too_old")


def to_api_error(error: Exception, request: Any) -> ApiError:
    """The closed table from exceptions to error responses. An exception that is not in it is logged, and is a 500."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, exceptions.MethodNotAllowed | exceptions.NotFound | Http404):
        return unknown_address(request)
    if isinstance(error, exceptions.UnsupportedMediaType):
        return invalid(CONTENT_TYPE_MESSAGE)
    if isinstance(error, exceptions.PermissionDenied | PermissionDenied):
        return permission_denied(str(error))
    if isinstance(error, RequestDataTooBig):
        return too_large()
    if isinstance(error, exceptions.ParseError | SuspiciousOperation):
        return invalid(f"Invalid request: {error}")
    log.error("%s %s failed (%s)", request.method, request.path, request_id(request), exc_info=error)
    return _our_fault()


def _our_fault() -> ApiError:
    """500, without any detail. The log has the details."""
    return ApiError(500, "An unknown error occurred. Please try again.", type="api_error")


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """The REST framework's exception handler: every exception of an API view becomes an error response."""
    api_error = to_api_error(error, context["request"])
    return Response({"error": api_error.error}, status=api_error.status_code, headers=api_error.headers)


# --- errors that Django answers before any API view runs --------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: an error envelope for the API's addresses, Django's page for all others."""
    if not _is_api_request(request):
        return defaults.bad_request(request, exception)
    return _plain_response(
        request, too_large() if isinstance(exception, RequestDataTooBig) else invalid("Invalid request.")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: an error envelope for the API's addresses, Django's page for all others."""
    if not _is_api_request(request):
        return defaults.server_error(request)
    return _plain_response(request, _our_fault())


def _is_api_request(request: HttpRequest) -> bool:
    return request.path.startswith("/v1/") or request.path == "/v1"


def _plain_response(request: HttpRequest, error: ApiError) -> JsonResponse:
    return JsonResponse({"error": error.error}, status=error.status_code, headers={"Request-Id": request_id(request)})
