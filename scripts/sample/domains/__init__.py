"""The databases, one module each; a module's `DOMAIN` says everything about its database."""

from __future__ import annotations

from scripts.sample.domains import (
    companies,
    courier,
    farm,
    films,
    football,
    hospital,
    library,
    museum,
    music,
    power,
    railway,
    supermarket,
    takeaway,
    tourism,
    university,
    weather,
)
from scripts.sample.model import Domain

# In the order of the files: train, dev, test. No database is in two splits.
DOMAINS: tuple[Domain, ...] = (
    supermarket.DOMAIN,
    hospital.DOMAIN,
    library.DOMAIN,
    weather.DOMAIN,
    films.DOMAIN,
    university.DOMAIN,
    farm.DOMAIN,
    power.DOMAIN,
    companies.DOMAIN,
    tourism.DOMAIN,
    museum.DOMAIN,
    football.DOMAIN,
    courier.DOMAIN,
    railway.DOMAIN,
    takeaway.DOMAIN,
    music.DOMAIN,
)
