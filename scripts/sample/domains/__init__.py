"""The databases, one module each; a module's `DOMAIN` says everything about its database."""
