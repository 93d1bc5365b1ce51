"""The sample's parts: databases of different fields, and interactions that walk over them.

values.py        random values, the same on every Python: names, dates, numbers without ties
model.py         what a domain says about itself: tables, rows, entities, attributes, scripts
query.py         a question's meaning (`Query`) and its SQL
world.py         a built database and what generation asks it: rows, choices, whether an answer is ambiguous
openers.py       first turns
followups.py     next turns about the things found: conditions, columns, order, rank
grouping.py      next turns about numbers: counts per group, averages, related tables
interactions.py  walks from an opener over follow-ups, and the domains' own scripts
folder.py        an output folder that is whole or absent, and never someone else's
domains/         one module a database
"""
