"""The projection of billing: plans, subscriptions, invoices (ours and those of Stripe) and credit notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from projections import billing_credit_notes as credit_notes
from projections import billing_invoices as invoices
from projections import billing_plans as plans
from projections import billing_subscriptions as subscriptions
from projections import topics
from projections.base import KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from projections.batch import Batch

_HANDLED: Final = (
    topics.PLANS
    | topics.SUBSCRIPTIONS
    | topics.INVOICES
    | topics.CREDIT_NOTES
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)
_IGNORED: Final = (
    topics.BOOKS
    | topics.CLOCKS
    | topics.DUNNING
    | topics.LOG
    | topics.PRINCIPALS
    | topics.SOURCES
    | topics.FEED
    | topics.ACCOUNTS
    | topics.KEYS
    | topics.USAGE
    | topics.CORRECTIONS
    | topics.PRODUCTS
    | topics.METERS
    | topics.TAX_RATES
    | topics.COUPONS
    | topics.INVOICE_NUMBERS
    | topics.CREDIT_NOTE_NUMBERS
    | topics.PAYMENTS
    | topics.CREDITS
    | topics.JOURNAL
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_CUSTOMERS
)

_PLANS: Final = KeyedTable("plans", plans.PlanRow, ("book", "plan"))
_SUBSCRIPTIONS: Final = KeyedTable("subscriptions", subscriptions.SubscriptionRow, ("book", "subscription"))
_INVOICES: Final = KeyedTable("invoices", invoices.InvoiceRow, ("book", "invoice"))
_CREDIT_NOTES: Final = KeyedTable("credit_notes", credit_notes.CreditNoteRow, ("book", "credit_note"))


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into the plans, subscriptions, invoices and credit notes they are of."""
    _PLANS.fold(connection, plans.changes_of(batch.others))
    _SUBSCRIPTIONS.fold(connection, subscriptions.changes_of(batch.others))
    _INVOICES.fold(connection, invoices.changes_of(batch.others))
    _CREDIT_NOTES.fold(connection, credit_notes.changes_of(batch.others))


_PLAN_COLUMNS: Final = (
    "plan, product, name, currency, interval, amount, price_version, status, external_id, metadata, versions,"
    " created_at, version, position"
)
_SUBSCRIPTION_COLUMNS: Final = (
    "subscription, account, managed_by, plan, price_version, status, starts_at, period_start, period_end,"
    " next_plan, cancels_at, ended_at, billed_through, version, created_position, position"
)
_INVOICE_COLUMNS: Final = (
    "invoice, account, managed_by, subscription, status, number, currency, subtotal, tax_total, total,"
    " amount_paid, amount_credited, issued_on, due_on, period_start, period_end, version, created_position,"
    " position"
)
# An invoice of ours that Stripe collects is listed once, as ours.
QUERIES: Final = {
    "find_plan": f"SELECT {_PLAN_COLUMNS} FROM billing.plans WHERE plan = %(plan)s",  # noqa: S608 - constant
    "list_plans": (
        f"SELECT {_PLAN_COLUMNS} FROM billing.plans WHERE plan > %(after)s"  # noqa: S608 - constant
        " AND (%(only)s::text IS NULL OR plan = %(only)s)"
        " AND (%(status)s::text IS NULL OR status = %(status)s) ORDER BY plan LIMIT %(limit)s"
    ),
    "plans_with_external_ids": (
        "SELECT plan AS id, external_id FROM billing.plans"
        " WHERE external_id IS NOT NULL AND status = 'active' ORDER BY plan"
    ),
    "find_subscription": (
        f"SELECT {_SUBSCRIPTION_COLUMNS} FROM billing.subscriptions"  # noqa: S608 - constant
        " WHERE subscription = %(subscription)s"
    ),
    "subscriptions_of": (
        f"SELECT {_SUBSCRIPTION_COLUMNS} FROM billing.subscriptions"  # noqa: S608 - constant
        " WHERE account = %(account)s AND created_position < %(before)s"
        " ORDER BY created_position DESC LIMIT %(limit)s"
    ),
    "billed_subscriptions_of": (
        "SELECT subscription FROM billing.subscriptions"
        " WHERE account = %(account)s AND managed_by = 'daybook' AND status <> 'cancelled'"
        " ORDER BY created_position"
    ),
    "managed_subscriptions_of": (
        "SELECT account, subscription FROM billing.subscriptions"
        " WHERE account = ANY(%(accounts)s) AND managed_by = 'daybook' ORDER BY created_position"
    ),
    "find_invoice": (
        f"SELECT {_INVOICE_COLUMNS} FROM billing.invoices WHERE invoice = %(invoice)s"  # noqa: S608 - constant
    ),
    "invoices_of": (
        f"SELECT {_INVOICE_COLUMNS} FROM billing.invoices"  # noqa: S608 - constant
        " WHERE account = %(account)s AND created_position < %(before)s AND managed_invoice IS NULL"
        " ORDER BY created_position DESC LIMIT %(limit)s"
    ),
    **credit_notes.QUERIES,
}
_NEWEST: Final = (1 << 63) - 1


def find_plan(connection: Connection[Any], plan: str) -> dict[str, Any] | None:
    """Give one plan of the connection's book."""
    return _one(connection, "find_plan", {"plan": plan})


def list_plans(
    connection: Connection[Any],
    after: str | None,
    limit: int,
    *,
    only: str | None = None,
    status: str | None = None,
) -> list[dict[str, Any]]:
    """Give plans after one of them, by id; or only one, or those of a status."""
    parameters = {"after": after or "", "limit": limit, "only": only, "status": status}
    return connection.execute(QUERIES["list_plans"], parameters).fetchall()


def plans_with_external_ids(connection: Connection[Any]) -> list[dict[str, Any]]:
    """Give id and external id of every plan on sale that another system or a file knows."""
    return connection.execute(QUERIES["plans_with_external_ids"]).fetchall()


def find_subscription(connection: Connection[Any], subscription: str) -> dict[str, Any] | None:
    """Give one subscription, ours or Stripe's."""
    return _one(connection, "find_subscription", {"subscription": subscription})


def subscriptions_of(
    connection: Connection[Any], account: str, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Give an account's subscriptions, newest first, created before a position."""
    return _of_account(connection, "subscriptions_of", account, before, limit)


def billed_subscriptions_of(connection: Connection[Any], account: str) -> list[str]:
    """Name an account's subscriptions that we bill and that have not ended, oldest first."""
    rows = connection.execute(QUERIES["billed_subscriptions_of"], {"account": account})
    return [row["subscription"] for row in rows]


def managed_subscriptions_of(connection: Connection[Any], accounts: Iterable[str]) -> dict[str, list[str]]:
    """Name the subscriptions of accounts that we bill, ended ones too, by account and oldest first."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(QUERIES["managed_subscriptions_of"], {"accounts": list(accounts)}):
        found.setdefault(row["account"], []).append(row["subscription"])
    return found


def find_invoice(connection: Connection[Any], invoice: str) -> dict[str, Any] | None:
    """Give one invoice's header, ours or Stripe's."""
    return _one(connection, "find_invoice", {"invoice": invoice})


def invoices_of(
    connection: Connection[Any], account: str, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Give an account's invoices, newest first, created before a position."""
    return _of_account(connection, "invoices_of", account, before, limit)


def credit_notes_of(
    connection: Connection[Any], before: int | None, limit: int, *, account: str = "", invoice: str = ""
) -> list[dict[str, Any]]:
    """Give the credit notes of an account, or of one invoice, newest first, issued before a position."""
    newest = _NEWEST if before is None else before
    if invoice:
        return credit_notes.of_invoice(connection, invoice, newest, limit)
    return credit_notes.of_account(connection, account, newest, limit)


def _one(connection: Connection[Any], query: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    row: dict[str, Any] | None = connection.execute(QUERIES[query], parameters).fetchone()
    return row


def _of_account(
    connection: Connection[Any], query: str, account: str, before: int | None, limit: int
) -> list[dict[str, Any]]:
    parameters = {"account": account, "before": _NEWEST if before is None else before, "limit": limit}
    return connection.execute(QUERIES[query], parameters).fetchall()


PROJECTION: Final = Projection(
    name="billing",
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("plans", "subscriptions", "invoices", "credit_notes"),
    queries=QUERIES,
    apply=apply,
)
