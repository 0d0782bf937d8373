"""Takes an object apart that Stripe showed with others inside it (`expand[]`): each becomes itself again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

StripeObject = dict[str, Any]
Tree = dict[str, Any]  # the names of the paths, one inside the other

# Kind of object → members that Stripe shows only where they are expanded. Without that they are absent, also where they
# are null: that one is missing does not mean that there is nothing.
ONLY_EXPANDED = {
    "invoice": frozenset("payments amount_paid_off_stripe confirmation_secret".split()),
    "customer": frozenset("cash_balance invoice_credit_balance sources subscriptions tax tax_ids".split()),
    "charge": frozenset({"refunds"}),
    "price": frozenset("currency_options tiers".split()),
}
# Lists that are there in any case.
ALWAYS_THERE = frozenset({"lines", "items"})


def unfold(whole: StripeObject, paths: Iterable[str]) -> tuple[StripeObject, list[StripeObject]]:
    """The object as Stripe shows it without these paths, and what they showed, each in the same way.

    `whole` stays as it is; what no path touches is shared with it.
    """
    tree: Tree = {}
    for path in paths:
        level = tree
        for name in path.split("."):
            level = level.setdefault(name, {})
    shown: list[StripeObject] = []
    return _plain(whole, tree, shown), shown


def _plain(node: StripeObject, tree: Tree, shown: list[StripeObject]) -> StripeObject:
    plain, only_expanded = dict(node), ONLY_EXPANDED.get(str(node.get("object")), ())
    for name, below in tree.items():
        value: Any = node.get(name)
        if isinstance(value, dict) and isinstance(value.get("data"), list):
            items = [_item(each, below.get("data", {}), shown) for each in value["data"]]
            if name in ALWAYS_THERE:
                plain[name] = {**value, "data": items}
            else:
                shown += [each for each in items if isinstance(each, dict)]
                del plain[name]
        elif name in only_expanded:
            plain.pop(name, None)
        elif _is_object(value):
            plain[name] = _id_of(value, below, shown)
        elif isinstance(value, dict) and below:
            plain[name] = _plain(value, below, shown)
        elif isinstance(value, list):
            plain[name] = [
                _id_of(each, below, shown) if _is_object(each) else _item(each, below, shown) for each in value
            ]
    return plain


def _item(found: Any, tree: Tree, shown: list[StripeObject]) -> Any:
    return _plain(found, tree, shown) if isinstance(found, dict) else found


def _id_of(found: StripeObject, tree: Tree, shown: list[StripeObject]) -> str:
    """The id in whose place the object was shown."""
    shown.append(_plain(found, tree, shown))
    return str(found["id"])


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str) and isinstance(value.get("object"), str)
