"""Fills the columns by which the mirror is searched, some hundred rows at a time.

A process of the version before that writes an object meanwhile leaves these columns as they are: the next time that the
object is seen mends them.
"""

from django.db import migrations

from invoices.models import searchable
from invoices.models.reading import json_of, lower, text

ROWS_AT_ONCE = 500

# As the models' `columns` read them. A migration does not ask the models, which may change.
COLUMNS = {
    "customer": {
        "phone": lambda data: lower(data, "phone"),
        "metadata": searchable.metadata_lines,
    },
    "invoice": {
        "receipt_number": lambda data: lower(data, "receipt_number"),
        "last_finalization_error_code": lambda data: text(data, "last_finalization_error", "code"),
        "last_finalization_error_type": lambda data: text(data, "last_finalization_error", "type"),
        "metadata": searchable.metadata_lines,
    },
}


def fill(apps, schema_editor, filled=None):
    for name, columns in (filled or COLUMNS).items():
        rows = apps.get_model("invoices", name)._base_manager.using(schema_editor.connection.alias)
        last = ""
        while True:
            keys = list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])
            if not keys:
                break
            for key, data in rows.filter(pk__in=keys).values_list("pk", "data"):
                _fill_row(rows, key, json_of(data) if isinstance(data, str) else data, columns)
            last = keys[-1]


def _fill_row(rows, key, data, columns):
    """Only where nobody has filled it since."""
    values = {column: value for column, read in columns.items() if (value := read(data)) is not None}
    if values:
        rows.filter(pk=key, **{f"{column}__isnull": True for column in columns}).update(**values)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0028_search")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
