"""
The configuration file: what may stand in it (`keys`), how it is read (`file`), and its JSON Schema for editors.

Both banks read the same file; no secret stands in it, only the names of the variables that hold one.
"""
