"""How each language writes days, times and numbers: Django's named formats, one module a language."""
