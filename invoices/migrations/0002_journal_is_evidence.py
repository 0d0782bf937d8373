"""Final operations and the bodies of events cannot be changed, not even by SQL; on PostgreSQL no operation and no event
can be deleted by SQL either."""

from django.db import migrations

FINAL = "('succeeded', 'failed', 'refused', 'cancelled', 'expired')"

POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION invoices_operation_is_final() RETURNS trigger AS $$
BEGIN
    IF OLD.state IN {FINAL} THEN
        RAISE EXCEPTION 'Operation % is final: the journal is not rewritten.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Operation % is journalled: it cannot be deleted.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER invoices_operation_is_final BEFORE UPDATE OR DELETE ON invoices_operation
    FOR EACH ROW EXECUTE FUNCTION invoices_operation_is_final();

CREATE OR REPLACE FUNCTION invoices_event_is_evidence() RETURNS trigger AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Event % is journalled: it cannot be deleted.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.body, NEW.type, NEW.object_id) IS DISTINCT FROM (OLD.id, OLD.body, OLD.type, OLD.object_id) THEN
        RAISE EXCEPTION 'Event % is evidence: what Stripe said is not rewritten.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER invoices_event_is_evidence BEFORE UPDATE OR DELETE ON invoices_event
    FOR EACH ROW EXECUTE FUNCTION invoices_event_is_evidence();
"""
# A later migration that makes these tables anew on SQLite loses the triggers: it must run `guard` again, which
# tests/test_immutable.py finds out. SQLite's triggers guard changes; deletion is refused in code there, because Django
# empties SQLite's tables by DELETE in tests.
SQLITE = [
    f"""CREATE TRIGGER invoices_operation_is_final BEFORE UPDATE ON invoices_operation WHEN OLD.state IN {FINAL}
        BEGIN SELECT RAISE(ABORT, 'This operation is final: the journal is not rewritten.'); END""",
    """CREATE TRIGGER invoices_event_is_evidence BEFORE UPDATE OF id, body, type, object_id ON invoices_event
        WHEN NEW.id <> OLD.id OR NEW.body <> OLD.body OR NEW.type <> OLD.type OR NEW.object_id <> OLD.object_id
        BEGIN SELECT RAISE(ABORT, 'This event is evidence: what Stripe said is not rewritten.'); END""",
]


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL, params=None)
    elif schema_editor.connection.vendor == "sqlite":
        for statement in SQLITE:
            schema_editor.execute(statement)


def release(apps, schema_editor):
    for name, table in (("invoices_operation_is_final", "invoices_operation"), ("invoices_event_is_evidence", "invoices_event")):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {name}")
        elif schema_editor.connection.vendor == "sqlite":
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}")


class Migration(migrations.Migration):
    dependencies = [("invoices", "0001_initial")]
    operations = [migrations.RunPython(guard, release)]
