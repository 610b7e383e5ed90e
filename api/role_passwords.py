"""The password of the run-time roles, given by the database's owner and never sent in the clear."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

RUN_TIME_ROLES: Final = ("daybook_app", "daybook_ingest", "daybook_follower")
# Roles belong to the server, not to a database: another installation may be changing them this moment.
_MAX_TRIES: Final = 10


def set_role_passwords(owner_url: str, password: str) -> None:
    """Give the run-time roles a password; only its salted hash travels, so no server log can show it."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for role in RUN_TIME_ROLES:
            _set_password(connection, role, password)


def _set_password(connection: psycopg.Connection, role: str, password: str) -> None:
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed))
    for attempt in range(1, _MAX_TRIES + 1):
        try:
            connection.execute(statement)
        except psycopg.errors.InternalError_:  # "tuple concurrently updated"
            if attempt == _MAX_TRIES:
                raise
        else:
            return
