"""What the edge takes about credit and prepaid grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from ledger.events.credit import CreditScope
from ledger.grant_terms import (
    DEFAULT_PRIORITY,
    KINDS,
    MAX_METHOD_CHARACTERS,
    MAX_PRIORITY,
    MAX_RESTRICTIONS,
)
from ledger.money import MAX_AMOUNT
from ledger.values import (
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
)
from schemas.catalogue_fields import currency_field
from schemas.fields import Instant, PublicId, Strict, Text, strict_integer

if TYPE_CHECKING:
    from collections.abc import Mapping


class NewCredit(Strict):
    """Credit by hand and why; a negative amount takes back what is not used.

    A reference makes sure that it is credited once.
    """

    amount = strict_integer(required=True, validate=validate.Range(min=-MAX_AMOUNT, max=MAX_AMOUNT))
    currency = currency_field(required=True)
    reason = Text(MAX_REASON_CHARACTERS, required=True)
    reference = Text(MAX_IDENTITY_CHARACTERS, allow_none=True, load_default=None)


class NewGrantScope(Strict):
    """The plans and the meters whose lines a grant may settle; none named is all."""

    plans = fields.List(PublicId("plan"), load_default=list, validate=validate.Length(max=MAX_RESTRICTIONS))
    meters = fields.List(
        Text(MAX_METER_CHARACTERS), load_default=list, validate=validate.Length(max=MAX_RESTRICTIONS)
    )


class NewGrant(Strict):
    """A prepaid grant, paid for or promotional; lower priorities are drawn down first.

    `method` says how a paid one was paid: through the processor (`stripe`), on the account's open balance
    (`on_account`), or outside, under any other name. A reference makes sure that it is granted once.
    """

    amount = strict_integer(required=True, validate=validate.Range(min=1, max=MAX_AMOUNT))
    currency = currency_field(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    priority = strict_integer(load_default=DEFAULT_PRIORITY, validate=validate.Range(min=0, max=MAX_PRIORITY))
    expires_at = Instant(allow_none=True, load_default=None)
    scope = fields.Nested(NewGrantScope, load_default=None, allow_none=True)
    name = Text(MAX_NAME_CHARACTERS, allow_none=True, load_default=None)
    reference = Text(MAX_IDENTITY_CHARACTERS, allow_none=True, load_default=None)
    method = Text(MAX_METHOD_CHARACTERS, allow_none=True, load_default=None)


def scope_of(body: Mapping[str, Any]) -> CreditScope:
    """Make the scope that a body holds."""
    scope = body["scope"]
    if scope is None:
        return CreditScope()
    return CreditScope(plans=tuple(scope["plans"]), meters=tuple(scope["meters"]))
