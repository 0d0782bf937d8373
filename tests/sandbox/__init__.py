"""The sandbox on its own: every fact that it claims to know, over HTTP."""
