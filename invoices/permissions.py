"""The permissions of a user in one statement; Django's own way is two, each planned anew."""

from __future__ import annotations

from typing import Any

from django.db import connection

from invoices import prepared

# As words with a space between them, such as `invoices.pay_invoice`. The column is the one that has the user's id.
OF_USER = """
    SELECT {joined}(content.app_label || '.' || permission.codename, ' ')
    FROM auth_permission AS permission
    JOIN django_content_type AS content ON content.id = permission.content_type_id
    WHERE permission.id IN (
        SELECT permission_id FROM auth_user_user_permissions WHERE user_id = {user}
        UNION
        SELECT given.permission_id FROM auth_group_permissions AS given
            JOIN auth_user_groups AS joined ON joined.group_id = given.group_id
            WHERE joined.user_id = {user}
    )
"""


def of_user(column: str) -> str:
    """The statement, as a part of a larger one, or with `%s` by itself."""
    return OF_USER.format(joined="string_agg" if connection.vendor == "postgresql" else "group_concat", user=column)


def fill(user: Any, words: str | None) -> None:
    """What `of_user` found becomes what `user.has_perm` goes by, as after Django's own reading."""
    user._perm_cache = set((words or "").split())


def know(user: Any) -> None:
    """Reads the permissions for `user.has_perm`, as they are now. A superuser, who may everything, needs none."""
    if not user.is_superuser:
        fill(user, prepared.rows(of_user("%s"), [user.pk, user.pk])[0][0])
