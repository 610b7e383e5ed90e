"""Commands on accounts: register, change, close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.chosen import execute_chosen
from commands.context import Done, Unit, execute
from commands.streams import account_stream, new_id, require_version
from ledger.streams import account as accounts
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from commands.context import Context
    from ledger.streams.account import Account


def register_account(
    context: Context,
    name: str | None,
    email: str | None,
    currency: str | None = None,
    time_zone: str = "UTC",
    chosen: str | None = None,
) -> Done[Stream[Account]]:
    """Register an account under a new id, or under the one that was chosen for it."""
    account = chosen or new_id(context, "acc")

    def decide(unit: Unit) -> Stream[Account]:
        events = accounts.register(account, name, email, currency, time_zone, context.now)
        return unit.add(account_stream(account), Stream(), accounts.evolve, events)

    return execute(context, decide) if chosen is None else execute_chosen(context, "acc", chosen, decide)


def change_account(
    context: Context, account: str, changes: dict[str, str | None], version: int | None = None
) -> Done[Stream[Account]]:
    """Rename an account or change its e-mail address, at the version the caller saw if it names one."""
    stream = account_stream(account)

    def decide(unit: Unit) -> Stream[Account]:
        loaded = unit.load(accounts.evolve, stream)
        accounts.require(loaded.state)
        require_version(loaded.version, version)
        return unit.add(stream, loaded, accounts.evolve, accounts.change(loaded.state, changes))

    return execute(context, decide, expected=version is not None)


def close_account(
    context: Context, account: str, reason: str, version: int | None = None
) -> Done[Stream[Account]]:
    """Close an account from now on."""
    stream = account_stream(account)

    def decide(unit: Unit) -> Stream[Account]:
        loaded = unit.load(accounts.evolve, stream)
        accounts.require(loaded.state)
        require_version(loaded.version, version)
        return unit.add(stream, loaded, accounts.evolve, accounts.close(loaded.state, reason, context.now))

    return execute(context, decide, expected=version is not None)
