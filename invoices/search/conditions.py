"""A clause as a condition on the mirror's rows: for each kind of object a table of its fields.

What a field is compared with is folded as its column is stored. Each comparison has an index, but what leaves most rows
anyway (a negation, `null`): `pages.py` bounds those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Model, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from invoices.models import Customer, Invoice
from invoices.models.reading import BIGINT_LIMIT
from invoices.models.searchable import SEPARATORS, folded, metadata_line, windows
from invoices.search.language import Clause, Operator, QueryError

MIN_PART_LENGTH = 3  # characters after `~`; Stripe's number
QUOTED_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
EXACT: tuple[Operator, ...] = (":",)
PARTS: tuple[Operator, ...] = (":", "~")
RANGES: tuple[Operator, ...] = (":", ">", "<", ">=", "<=")
LOOKUPS = {":": "exact", ">": "gt", "<": "lt", ">=": "gte", "<=": "lte"}
LATEST = 253402300799  # the last second that a datetime can say, in seconds since 1970

_DIVIDER = f"[{re.escape(SEPARATORS)}]"


@dataclass(frozen=True)
class Field:
    """What can be asked of one column."""

    column: str
    operators: tuple[Operator, ...]
    compare: Callable[[str, Clause], Q]  # the condition, of a value that is no `null`


@dataclass(frozen=True)
class Resource:
    """One kind of object that can be searched."""

    name: str  # in its address
    model: type[Model]
    fields: Mapping[str, Field]


def condition_of(clause: Clause, resource: Resource) -> Q:
    """The rows that match a clause. Raises QueryError for what this kind of object cannot be asked."""
    field = resource.fields.get(clause.field)
    if field is None:
        known = ", ".join(sorted(resource.fields))
        raise QueryError(
            _("Field `{field}` is an unsupported search field for resource `{resource}`. Use one of {known}.").format(
                field=clause.field, resource=resource.name, known=known
            ),
            clause.position + clause.negated,
        )
    _check_key(clause, field)
    if clause.operator not in field.operators or (clause.value is None and clause.operator != ":"):
        if clause.value is None:
            said = _("null does not go with {operator}. Use {accepted}").format(operator=clause.operator, accepted=":")
        else:
            said = _("field `{field}` does not go with {operator}. Use {accepted}").format(
                field=clause.field, operator=clause.operator, accepted=" ".join(field.operators)
            )
        raise QueryError(said, clause.operator_position)
    # Without a value a comparison is neither true nor false, and its negation would not be true.
    has_value = Q(**{f"{field.column}__isnull": False})
    if clause.value is not None:
        found = field.compare(field.column, clause) & has_value
    elif clause.key is not None:
        found = ~(_has_key(field.column, clause.key) & has_value)
    else:
        found = ~has_value
    return ~found if clause.negated else found


def search_index_of(clause: Clause, resource: Resource) -> Q | None:
    """What the index of windows and lines (`models/searchable.py`) can say of the rows that match; None for nothing.

    It may be true of other rows too. As a filter it would be slow: it is there to be looked up.
    """
    field = resource.fields[clause.field]
    if clause.value is None and clause.key is not None and clause.negated:
        return _has_key(field.column, clause.key)
    if clause.value is None or clause.negated:
        return None
    if field.compare is _metadata:
        return _metadata(field.column, clause)
    if field.compare in (_text, _name) or (field.compare is _email and clause.operator == "~"):
        whole = clause.operator == ":"
        return Q(**{f"{field.column}__has_windows": windows(folded(_text_of(clause)), whole=whole)})
    return None


def _check_key(clause: Clause, field: Field) -> None:
    takes_key = field.compare is _metadata
    if takes_key and clause.key is None:
        raise QueryError(_('metadata needs a key, as in metadata["key"]:"value".'), clause.operator_position)
    if clause.key is not None and not takes_key:
        said = _("only metadata has keys; write {field} without one.")
        raise QueryError(said.format(field=clause.field), clause.position)


def looks_like_query(text: str, resource: Resource) -> bool:
    """Whether a text that a person typed has a field of this kind of object followed by an operator."""
    fields = "|".join(map(re.escape, resource.fields))
    return bool(re.search(rf"(?:^|\s)-?(?:{fields})(?:\[[^\]]*\])?\s*[:~<>]", text, re.IGNORECASE))


# --- comparisons, by the kind of column -------------------------------------------------------------------------------


def _text_of(clause: Clause) -> str:
    """The value as it stood in quotation marks. Raises QueryError for a bare number, and a part that is too short."""
    if not isinstance(clause.value, str):
        said = _('field `{field}` is text, which needs quotation marks: "{value}".')
        raise QueryError(said.format(field=clause.field, value=clause.value), clause.value_position)
    if clause.operator == "~" and len(clause.value) < MIN_PART_LENGTH:
        said = _("a part that is searched for with ~ has at least {least} characters.")
        raise QueryError(said.format(least=MIN_PART_LENGTH), clause.value_position)
    return clause.value


def _number_of(clause: Clause) -> int:
    """The value as a whole number, with or without quotation marks. Raises QueryError."""
    if isinstance(clause.value, str):
        if not QUOTED_NUMBER.fullmatch(clause.value):
            said = _("field `{field}` is a whole number: an amount in minor units, or a time in seconds since 1970.")
            raise QueryError(said.format(field=clause.field), clause.value_position)
        return int(clause.value)
    return clause.value or 0


def _token(column: str, clause: Clause) -> Q:
    return Q(**{column: folded(_text_of(clause))})


def _customer(column: str, clause: Clause) -> Q:
    """Capital and small letters of an id count alike, as in all of Stripe's tokens. An index of invoices for that
    would cost each write, so the customers are asked how the id is spelled."""
    value = _text_of(clause)
    spelled = Customer.objects.annotate(small=Lower("pk")).filter(small=folded(value)).values_list("pk", flat=True)
    return Q(**{f"{column}__in": sorted({value, *spelled})})


def _choice(column: str, clause: Clause) -> Q:
    """One of few values: a part stands for those that contain it."""
    value = folded(_text_of(clause))
    if clause.operator == ":":
        return Q(**{column: value})
    return Q(**{f"{column}__in": [choice for choice in Invoice.Status.values if value in choice]})


def _text(column: str, clause: Clause) -> Q:
    value = folded(_text_of(clause))
    return Q(**{f"{column}__{'icontains' if clause.operator == '~' else 'iexact'}": value})


def _email(column: str, clause: Clause) -> Q:
    """Whole addresses have an index of their own, which is smaller and reads fewer rows."""
    return _text(column, clause) if clause.operator == "~" else _token(column, clause)


def _name(column: str, clause: Clause) -> Q:
    """The whole name, or any of its words, or some that follow each other."""
    value = folded(_text_of(clause))
    if clause.operator == "~":
        return _text(column, clause)
    pattern = f"(^|{_DIVIDER}){re.escape(value)}($|{_DIVIDER})"
    return Q(**{f"{column}__regex": pattern})


def words_begin(column: str, value: str) -> Q:
    """A name of which a word begins so, or some words that follow each other. `value` in small letters."""
    pattern = f"(^|{_DIVIDER}){re.escape(value)}"
    return Q(**{f"{column}__contains": value}) & Q(**{f"{column}__regex": pattern})


def _number(column: str, clause: Clause) -> Q:
    return Q(**{f"{column}__{LOOKUPS[clause.operator]}": min(_number_of(clause), BIGINT_LIMIT - 1)})


def _time(column: str, clause: Clause) -> Q:
    """In whole seconds, as Stripe tells times. No column is later than the latest time, nor earlier than 1970."""
    seconds = min(max(_number_of(clause), -1), LATEST)
    return Q(**{f"{column}__{LOOKUPS[clause.operator]}": datetime.fromtimestamp(seconds, UTC)})


def _has_key(column: str, key: str) -> Q:
    return Q(**{f"{column}__has_line": metadata_line(key)})


def _metadata(column: str, clause: Clause) -> Q:
    return Q(**{f"{column}__has_line": metadata_line(clause.key or "", _text_of(clause))})


# --- what can be searched ---------------------------------------------------------------------------------------------


def _of(compare: Callable[[str, Clause], Q], operators: tuple[Operator, ...], *columns: str) -> dict[str, Field]:
    return {column: Field(column, operators, compare) for column in columns}


INVOICES = Resource(
    "invoices",
    Invoice,
    {
        **_of(_time, RANGES, "created", "due_date", "paid_at"),
        **_of(_number, RANGES, "total", "amount_due", "amount_remaining"),
        **_of(_token, EXACT, "currency", "last_finalization_error_code", "last_finalization_error_type"),
        **_of(_choice, PARTS, "status"),
        **_of(_text, PARTS, "number", "receipt_number", "subscription"),
        **_of(_email, PARTS, "customer_email"),
        **_of(_name, PARTS, "customer_name"),
        **_of(_metadata, EXACT, "metadata"),
        "customer": Field("customer_id", EXACT, _customer),
    },
)
CUSTOMERS = Resource(
    "customers",
    Customer,
    {
        **_of(_time, RANGES, "created"),
        **_of(_email, PARTS, "email"),
        **_of(_text, PARTS, "phone"),
        **_of(_name, PARTS, "name"),
        **_of(_metadata, EXACT, "metadata"),
    },
)
