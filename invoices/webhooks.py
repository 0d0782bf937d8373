"""`POST /webhooks/stripe`: passes the body to intake and answers. 200 means that the event is in the journal."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from invoices import intake


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """400 for a wrong signature or an unreadable body, 413 for one that is too large, else 200: an event of a type that
    we do not use is journalled as well."""
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        length = 0
    if length > settings.WEBHOOK_MAX_BYTES:
        return _answer(413, f"The body is larger than {settings.WEBHOOK_MAX_BYTES} bytes.")
    try:
        body = request.read(settings.WEBHOOK_MAX_BYTES + 1)
    except OSError:  # the connection broke; Stripe delivers it again
        return _answer(400, "The body broke off.")
    if len(body) > settings.WEBHOOK_MAX_BYTES:
        return _answer(413, f"The body is larger than {settings.WEBHOOK_MAX_BYTES} bytes.")
    try:
        new = intake.receive(body, request.headers.get("Stripe-Signature", ""))
    except intake.NotSigned as error:
        return _answer(400, f"Not accepted: {error}")
    except intake.NotReadable as error:
        return _answer(400, f"Signed, but no event: {error}")
    return JsonResponse({"received": True, "new": new})


def _answer(status: int, message: str) -> HttpResponse:
    return JsonResponse({"error": message}, status=status)
