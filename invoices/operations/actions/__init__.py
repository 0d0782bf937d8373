"""Which actions there are: one file each in this folder. To add an action, add a file with a subclass of Action."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from invoices.operations.action import Action


def _entries() -> list[Action]:
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return sorted((entry() for entry in Action.__subclasses__()), key=lambda action: action.position)


ACTIONS: dict[str, Action] = {action.name: action for action in _entries()}


def label_of(name: str) -> str:
    """The label of an action in the journal, also of one that is no longer there."""
    return ACTIONS[name].label if name in ACTIONS else name.replace("_", " ").capitalize()


__all__ = ["ACTIONS", "label_of"]
