"""The stable words of the journal: why an operation was refused or failed, and by whom an outcome came about."""

from django.db import models
from django.utils.translation import gettext_lazy


class Code(models.TextChoices):
    """Why an operation was refused or failed. Scripts and API clients rely on these values; they never change."""

    # nothing was done at Stripe
    PERMISSION_DENIED = "permission_denied"
    RESOURCE_MISSING = "resource_missing"
    PARAMETER_INVALID = "parameter_invalid"
    INVOICE_NOT_OPEN = "invoice_not_open"
    INVOICE_CHANGED = "invoice_changed"
    ATTEMPTED_RECENTLY = "attempted_recently"
    APPROVAL_REQUIRED = "approval_required"
    OPERATION_IN_PROGRESS = "operation_in_progress"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    ACTIONS_PAUSED = "actions_paused"
    STRIPE_UNAVAILABLE = "stripe_unavailable"
    # why an operation ended without being sent (EXPIRED also: it was not sent within RESEND_WINDOW)
    EXPIRED = "expired"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    # what Stripe answered, or did not
    OUTCOME_UNKNOWN = "outcome_unknown"
    NOT_APPLIED = "not_applied"
    STRIPE_REFUSED = "stripe_refused"
    CARD_DECLINED = "card_declined"
    AUTHENTICATION_REQUIRED = "authentication_required"


# The codes of a charge that was tried and did not go through.
DECLINES = frozenset({Code.CARD_DECLINED, Code.AUTHENTICATION_REQUIRED})


class OutcomeBy(models.TextChoices):
    """Who brought about the outcome of an operation."""

    US = "us", gettext_lazy("our request")
    SOMEONE_ELSE = "someone_else", gettext_lazy("someone else's request at Stripe")
    NOBODY = "nobody", gettext_lazy("nobody: nothing was applied")
    PERSON = "person", gettext_lazy("a manager, who said what came of it")
