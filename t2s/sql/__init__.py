"""SQL that a model wrote: taking it from a completion, running it without danger, comparing what came back.

The modules are imported by name (`t2s.sql.extract`, `t2s.sql.sandbox`, `t2s.sql.compare`): predict needs the first
alone.
"""
