"""The rows of the admin's pages and forms beside the lists, and of what is not below /admin/ and not the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from invoices.operations import ACTIONS
from invoices.reports import REPORTS
from tests.permission_matrix.roles import EVERYBODY, NOBODY
from tests.permission_matrix.rows import Row, form, read, send

RECORD_A_PAYMENT = "view_customer view_invoice attach_out_of_band_payment_invoice"
MATCH = "view_banktransaction match_banktransaction"


def rows() -> Iterator[Row]:
    yield from _invoices()
    yield from _journal()
    yield from _finance()
    yield from _operators()
    yield from _people()
    yield from _around()
    yield from _sign_in()


def _invoices() -> Iterator[Row]:
    name = "invoices_invoice_"
    for action in ACTIONS.values():
        needs = f"view_invoice {action.codename}"
        yield from form("invoice", name + "action", needs, action=action.name)
        if action.bulk_parameters is not None:
            yield send("invoice", name + "bulk", needs, action=action.name)
    yield send("invoice", name + "refresh", "view_invoice")
    yield send("invoice", name + "complete", "view_invoice")
    yield send("invoice", name + "card_link", "view_invoice pay_invoice")
    yield read("invoice", name + "newest", "view_invoice")
    yield read("invoice", name + "methods", "view_invoice pay_invoice")
    yield send("invoice", name + "note", "view_invoice view_note add_note")
    yield send("invoice", name + "note_edit", "view_invoice view_note change_note")
    yield send("invoice", name + "promise", "view_invoice add_promise")
    yield send("invoice", name + "promise_withdraw", "view_invoice change_promise")
    yield send("invoice", name + "assignment", "view_invoice add_assignment")
    yield read("customer", "invoices_customer_cards", "view_customer")
    yield read("customer", "invoices_customer_chosen", "view_invoice")
    for suffix in ("history", "change"):  # a mention has no page: both lead to its note
        yield read("mention", f"invoices_mention_{suffix}", "view_mention view_note view_invoice")
    yield from form("customer", "invoices_customer_payment", RECORD_A_PAYMENT)
    yield read("customer", "invoices_customer_stored", "view_customer disclose_customer")
    yield send("customer", "invoices_customer_download", "view_customer disclose_customer")


def _journal() -> Iterator[Row]:
    yield read("operation", "invoices_operation_result", "view_operation")
    yield send("operation", "invoices_operation_now", "view_operation")
    for verdict in ("approve", "reject"):
        yield send("operation", "invoices_operation_decide", "view_operation approve_operation", verdict=verdict)
        yield send("batch", "invoices_batch_decide", "view_batch approve_operation", verdict=verdict)
    withdraw = send("operation", "invoices_operation_decide", "view_operation", verdict="withdraw")
    yield replace(withdraw, of="own operation")
    yield send("operation", "invoices_operation_close", "view_operation override_operation")
    yield send("operation", "invoices_operation_contradiction", "view_operation override_operation")
    yield read("batch", "invoices_batch_table", "view_batch")
    yield send("batch", "invoices_batch_cancel", "view_batch view_invoice void_invoice")  # that of its action
    yield replace(send("batch", "invoices_batch_confirm", "view_batch view_invoice void_invoice"), of="own batch")
    yield read("mention", "invoices_mention_colleagues", "view_mention view_note view_invoice add_note")
    yield send("mention", "invoices_mention_done", "view_mention view_note view_invoice")
    yield read("export", "invoices_export_file", "view_export")
    yield send("export", "invoices_export_do", "view_export")


def _finance() -> Iterator[Row]:
    yield from form("bankstatement", "invoices_bankstatement_upload", "view_bankstatement add_bankstatement")
    yield from form("banktransaction", "invoices_banktransaction_confirm", MATCH)
    for button in ("match", "decide", "reopen", "another"):
        yield send("banktransaction", f"invoices_banktransaction_{button}", MATCH)
    yield read("monthclose", "invoices_monthclose_check", "view_monthclose")
    yield send("monthclose", "invoices_monthclose_check", "view_monthclose close_month")
    yield read("reports", "desk_reports", "view_reports")
    for name, report in REPORTS.items():
        needs = f"view_reports {' '.join(each.removeprefix('invoices.') for each in report.permissions)}"
        yield read("reports", "desk_report", needs, name=name)
        yield read("reports", "desk_report_file", needs, name=name)
        yield send("reports", "desk_report_prepare", f"{needs} view_export", name=name)


def _operators() -> Iterator[Row]:
    yield send("event", "invoices_event_replay_all", "replay_event")
    yield send("event", "invoices_event_replay", "replay_event")
    yield send("scheduledrefetch", "invoices_scheduledrefetch_try_all", "replay_event")
    yield read("reconciliationrun", "invoices_reconciliationrun_under_way", "view_reconciliationrun")
    yield send("reconciliationrun", "invoices_reconciliationrun_start", "run_reconciliation")
    yield send("drift", "invoices_drift_explain", "view_drift explain_drift")
    yield from form("pause", "invoices_pause_add", "pause_actions")
    yield send("pause", "invoices_pause_resume", "pause_actions")
    yield from form("apitoken", "invoices_apitoken_add", "add_apitoken/add_service_token")
    yield send("apitoken", "invoices_apitoken_revoke", "delete_apitoken")
    name = "invoices_webhookendpoint_"
    yield from form("webhookendpoint", name + "add", "add_webhookendpoint")
    for page in ("edit", "secret", "redeliver"):
        yield from form("webhookendpoint", name + page, "change_webhookendpoint")
    for button in ("switch", "test"):
        yield send("webhookendpoint", name + button, "change_webhookendpoint")
    yield read("webhookendpoint", name + "delivery", "view_webhookendpoint")
    yield send("webhookendpoint", name + "delivery", "change_webhookendpoint")
    yield send("webhookendpoint", name + "remove", "delete_webhookendpoint")


def _people() -> Iterator[Row]:
    """Users and groups have Django's own pages and permissions, which no group of ours has."""
    for model in ("user", "group"):
        yield read(model, f"auth_{model}_changelist", f"auth.view_{model}")
        yield read(model, f"auth_{model}_download", f"auth.view_{model}", format="csv")
        yield from form(model, f"auth_{model}_add", f"auth.add_{model}")
        yield read(model, f"auth_{model}_change", f"auth.view_{model}")
        yield send(model, f"auth_{model}_change", f"auth.change_{model}")
        yield from form(model, f"auth_{model}_delete", f"auth.delete_{model}")
        yield read(model, f"auth_{model}_history", f"auth.view_{model}")
        yield read(model, f"/admin/auth/{model}/<path:object_id>/")
    yield from form("user", "auth_user_password_change", "auth.change_user")
    yield read("user", "auth_user_second_factors", "reset_second_factor")
    yield from form("user", "auth_user_reset_second_factor", "reset_second_factor")


def _around() -> Iterator[Row]:
    """What every member of the staff has; each shows what that person may see."""
    for key in ("index", "find", "search", "desk_health", "desk_health_line", "jsi18n", "password_change_done"):
        yield read("home", key)
    yield from form("home", "password_change")
    yield read("home", "autocomplete", NOBODY)  # Django's own: no list uses it
    yield read("home", "view_on_site")
    yield read("home", "app_list")
    yield read("home", "/admin/(?P<url>.*)$")
    yield read("home", "api-schema")
    yield read("home", "api-docs")
    yield read("home", "/metrics", NOBODY)  # with METRICS_TOKEN, or from INTERNAL_NETWORKS


def _sign_in() -> Iterator[Row]:
    """Signing in, and one's own second factors."""
    for key in ("/", "/readyz", "account_login", "account_inactive", "mfa_done", "socialaccount_login_cancelled"):
        yield read("sign-in", key, EVERYBODY)
    for key in ("login", "account_reauthenticate", "mfa_authenticate", "mfa_reauthenticate"):
        yield from form("sign-in", key, EVERYBODY)
    for key in ("logout", "account_logout", "set_language", "/webhooks/stripe", "mfa_reauthenticate_webauthn"):
        yield send("sign-in", key, EVERYBODY)
    for key in ("openid_connect_login", "openid_connect_callback"):
        yield read("sign-in", key, EVERYBODY)
    for key in ("mfa_index", "mfa_view_recovery_codes", "mfa_list_webauthn"):
        yield read("sign-in", key)
    for way in ("activate_totp", "deactivate_totp", "generate_recovery_codes", "add_webauthn", "remove_webauthn"):
        yield from form("sign-in", f"mfa_{way}")
