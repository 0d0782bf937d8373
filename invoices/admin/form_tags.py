"""`{% csrf_token %}` of our forms: Django's, and the mark by which what was typed is kept for its writer (typed.py).

It is built in (settings.TEMPLATES), so that no form can do without it, the theme's included.
"""

from typing import Any

from django import template
from django.template.defaulttags import CsrfTokenNode
from django.utils.html import format_html

from invoices import typed

register = template.Library()


class _MarkedTokenNode(CsrfTokenNode):
    def render(self, context: Any) -> Any:
        hidden = super().render(context)
        request = context.get("request")
        if not hidden or not hasattr(request, "user"):
            return hidden
        if not (mark := typed.mark(request)):
            return hidden
        return format_html('{}<input type="hidden" name="{}" value="{}">', hidden, typed.MARK, mark)


@register.tag
def csrf_token(parser: template.base.Parser, token: template.base.Token) -> CsrfTokenNode:
    return _MarkedTokenNode()
