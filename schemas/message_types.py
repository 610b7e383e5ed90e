"""Every kind of message that comes in through Kafka: its topic, what it asks for, and what refuses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from marshmallow import fields, validate

from ledger.errors import (
    AccountClosed,
    Conflict,
    CurrencyConflict,
    Forbidden,
    IdTaken,
    Invalid,
    KeyNotActive,
    MessageConflict,
    NotFound,
    PayloadRefused,
    PlanRetired,
    SignatureRefused,
    SubscriptionEnded,
    VersionConflict,
)
from ledger.secrets import HINT_CHARACTERS
from ledger.values import MAX_REASON_CHARACTERS
from schemas.fields import ChosenId, Strict, Text
from schemas.requests import (
    AccountChange,
    NewAccount,
    NewKey,
    Reason,
)
from schemas.requests_billing import NewSubscription, SubscriptionCancel, SubscriptionChange
from schemas.topics import ACCOUNTS, KEYS, STRIPE, SUBSCRIPTIONS, USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marshmallow import Schema

    from ledger.errors import Refusal

_SHA256_CHARACTERS: Final = 64


def _exactly(characters: int, pattern: str, error: str, **options: Any) -> fields.String:
    # Python's `$` would let a line feed behind the text pass.
    checks = (validate.Length(equal=characters, error=error), validate.Regexp(pattern, error=error))
    return fields.String(required=True, validate=checks, **options)


def _secret_sha256() -> fields.String:
    return _exactly(_SHA256_CHARACTERS, "^[0-9a-f]{64}$", "must be 64 hexadecimal digits in lower case")


def _hint() -> fields.String:
    return _exactly(HINT_CHARACTERS, "^[0-9A-Za-z]{4}$", "must be the last 4 characters of the secret")


class AccountRegistration(NewAccount):
    """A new account, under an id that its sender chose or one made from the message's identity."""

    account = ChosenId("acc", load_default=None)


class KeyIssue(NewKey):
    """A new API key of an account, made by its sender: of the secret only its SHA-256 travels."""

    key = ChosenId("key", required=True)
    secret_sha256 = _secret_sha256()
    hint = _hint()


class KeyRotation(Strict):
    """A key's new secret, made by its sender: only its SHA-256 travels."""

    secret_sha256 = _secret_sha256()
    hint = _hint()


class KeyRevocation(Strict):
    """Why a key is revoked."""

    reason = Text(MAX_REASON_CHARACTERS, load_default="revoked by an operator")


class SubscriptionStart(NewSubscription):
    """A subscription to a plan, under an id that its sender chose, or under one made for it."""

    subscription = ChosenId("sub", load_default=None)


class Nothing(Strict):
    """No data at all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MessageType:
    """A kind of message; a command's `name` is its CloudEvents type, another's is its topic.

    `subject` is the prefix of the id that the subject is, `data` the schema of a command's data, `scope` what
    its source must be granted; a webhook's signature stands for that.
    """

    name: str
    topic: str
    summary: str
    keyed_by: str
    scope: str = "write"
    subject: str | None = None
    data: type[Schema] | None = None
    refusals: tuple[type[Refusal], ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)


_ACCOUNT: Final = "acc_01h455vb4pex5vsknk084sn02q"
_KEY: Final = "key_2x4y6z8a0be0t9rfhc6dq1m3nv"
_PLAN: Final = "plan_4c5d6e7f8g9h0r9j2k3m4n5p6q"
_SUBSCRIPTION: Final = "sub_5m1q8r3t7v9wbstc2d4f6g8h0j"
_SECRET: Final = {
    "secret_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "hint": "k3vq",
}

_COMMANDS: Final = (
    MessageType(
        name="daybook.account.register",
        topic=ACCOUNTS,
        summary="Registers an account, as `POST /v1/accounts` does. With `account` its sender chooses the id,"
        " and may publish usage for it at once; without it, the id comes from the message's identity.",
        keyed_by="account",
        data=AccountRegistration,
        refusals=(IdTaken,),
        example={"account": _ACCOUNT, "name": "Ada Lovelace", "email": "ada@example.com", "currency": "USD"},
    ),
    MessageType(
        name="daybook.account.change",
        topic=ACCOUNTS,
        summary="Renames an account or changes its e-mail address, as `PATCH /v1/accounts/{account}` does."
        " With `version` it does so only if the account is still at that version.",
        keyed_by="account",
        subject="acc",
        data=AccountChange,
        refusals=(AccountClosed, VersionConflict),
        example={"email": "countess@example.com"},
    ),
    MessageType(
        name="daybook.account.close",
        topic=ACCOUNTS,
        summary="Closes an account from now on, as `POST /v1/accounts/{account}/close` does; usage from"
        " before still counts.",
        keyed_by="account",
        subject="acc",
        data=Reason,
        example={"reason": "asked to leave"},
    ),
    MessageType(
        name="daybook.key.issue",
        topic=KEYS,
        summary="Issues a key to an account, as `POST /v1/accounts/{account}/keys` does, but with an id and a"
        " secret that its sender made: see *Keys through Kafka* below.",
        keyed_by="key",
        subject="acc",
        data=KeyIssue,
        refusals=(AccountClosed, IdTaken),
        example={"key": _KEY, **_SECRET, "name": "production", "scopes": ["usage:write"]},
    ),
    MessageType(
        name="daybook.key.rotate",
        topic=KEYS,
        summary="Gives an account's key a new secret, as `POST /v1/keys/{key}/rotate` does, but one that its"
        " sender made; the old one stops at once.",
        keyed_by="key",
        subject="key",
        data=KeyRotation,
        refusals=(KeyNotActive, Forbidden),
        example=_SECRET,
    ),
    MessageType(
        name="daybook.key.suspend",
        topic=KEYS,
        summary="Refuses an account's key until it is resumed, as `POST /v1/keys/{key}/suspend` does.",
        keyed_by="key",
        subject="key",
        data=Reason,
        refusals=(KeyNotActive, Forbidden),
        example={"reason": "found in a public repository"},
    ),
    MessageType(
        name="daybook.key.resume",
        topic=KEYS,
        summary="Lets an account's suspended key open again, as `POST /v1/keys/{key}/resume` does.",
        keyed_by="key",
        subject="key",
        data=Nothing,
        refusals=(KeyNotActive, Forbidden),
    ),
    MessageType(
        name="daybook.key.revoke",
        topic=KEYS,
        summary="Refuses an account's key for ever, as `DELETE /v1/keys/{key}` does.",
        keyed_by="key",
        subject="key",
        data=KeyRevocation,
        refusals=(Forbidden,),
        example={"reason": "its owner left"},
    ),
    MessageType(
        name="daybook.subscription.start",
        topic=SUBSCRIPTIONS,
        summary="Subscribes an account to a plan and issues the first period's invoice, as"
        " `POST /v1/accounts/{account}/subscriptions` does. With `subscription` its sender chooses the id.",
        keyed_by="subscription",
        subject="acc",
        data=SubscriptionStart,
        refusals=(AccountClosed, PlanRetired, CurrencyConflict, IdTaken),
        example={"plan": _PLAN, "subscription": _SUBSCRIPTION},
    ),
    MessageType(
        name="daybook.subscription.change",
        topic=SUBSCRIPTIONS,
        summary="Moves a subscription to another plan, as `POST /v1/subscriptions/{subscription}/change`"
        " does: now, with prorations on the next invoice, or at period end.",
        keyed_by="subscription",
        subject="sub",
        data=SubscriptionChange,
        refusals=(AccountClosed, PlanRetired, SubscriptionEnded, CurrencyConflict, Conflict),
        example={"plan": _PLAN, "at_period_end": True},
    ),
    MessageType(
        name="daybook.subscription.cancel",
        topic=SUBSCRIPTIONS,
        summary="Ends a subscription with its present period, or now, as"
        " `POST /v1/subscriptions/{subscription}/cancel` does.",
        keyed_by="subscription",
        subject="sub",
        data=SubscriptionCancel,
        refusals=(SubscriptionEnded,),
        example={"at_period_end": True},
    ),
    MessageType(
        name="daybook.subscription.renew",
        topic=SUBSCRIPTIONS,
        summary="Opens a subscription's next period once the present one is over and issues its invoice, as"
        " `POST /v1/subscriptions/{subscription}/renew` does.",
        keyed_by="subscription",
        subject="sub",
        data=Nothing,
        refusals=(AccountClosed, SubscriptionEnded, Conflict),
    ),
)

COMMANDS: Final[Mapping[str, MessageType]] = {one.name: one for one in _COMMANDS}

USAGE_EVENT: Final = MessageType(
    name=USAGE,
    topic=USAGE,
    summary="Usage of an account, as `POST /v1/usage` takes it; `type` is the meter, `subject` the account.",
    keyed_by="account",
    scope="usage:write",
    subject="acc",
    refusals=(AccountClosed,),
    example={"quantity": "1", "region": "eu-west-1"},
)

STRIPE_WEBHOOK: Final = MessageType(
    name=STRIPE,
    topic=STRIPE,
    summary="A webhook of Stripe's as it came: its raw body, and the header `stripe-signature`, which is"
    " checked as of when the broker took it. The header `daybook-endpoint` names the endpoint it came"
    " through; without it, that is the default one.",
    keyed_by="Stripe event",
    scope="",
    refusals=(SignatureRefused, PayloadRefused, NotFound),
    example={
        "id": "evt_1PgafyB7WZ01zgkWEXAMPLE0",
        "object": "event",
        "type": "customer.created",
        "created": 1_768_478_400,
        "livemode": False,
        "data": {"object": {"id": "cus_QXg1o8vcGmoR32", "object": "customer", "email": "ada@example.com"}},
    },
)

MESSAGE_TYPES: Final = (USAGE_EVENT, *_COMMANDS, STRIPE_WEBHOOK)
# What any command may be refused for, beside what its own rules say.
ANY_COMMAND: Final[tuple[type[Refusal], ...]] = (PayloadRefused, Invalid, NotFound, MessageConflict)
