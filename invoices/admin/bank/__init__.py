"""The room of bank statements: upload, the list of what is to be matched, one credit, and many at once."""
