"""The page on messages: every type that comes in through Kafka, with an example that a stranger can send."""

from __future__ import annotations

import json
import shlex
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from schemas.message_schemas import file_name, schema_for
from schemas.message_types import (
    ANY_COMMAND,
    COMMANDS,
    MESSAGE_TYPES,
    STRIPE_WEBHOOK,
    USAGE_EVENT,
    MessageType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ledger.errors import Refusal

_BROKER: Final = "localhost:29092"
_BOOK: Final = "book_3b0000000a8n2r5k7m9p1q3s5t"
_SOURCE: Final = "/signup"
_SUBJECTS: Final = {
    "acc": "acc_01h455vb4pex5vsknk084sn02q",
    "key": "key_2x4y6z8a0be0t9rfhc6dq1m3nv",
    "sub": "sub_5m1q8r3t7v9wbstc2d4f6g8h0j",
}


def example_of(kind: MessageType) -> dict[str, Any]:
    """Give a whole message of a type, as a producer would send it."""
    if kind is STRIPE_WEBHOOK:
        return deepcopy(dict(kind.example))
    usage = kind is USAGE_EVENT
    message: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{kind.name.removeprefix('daybook.')}-1",
        "source": "/gateway" if usage else _SOURCE,
        "type": "api_calls" if usage else kind.name,
        "book": _BOOK,
    }
    if kind.subject is not None:
        message["subject"] = _SUBJECTS[kind.subject]
    message["time"] = "2027-01-15T12:00:00Z"
    if kind.example:
        message["data"] = deepcopy(dict(kind.example))
    return message


def record_key(kind: MessageType) -> str:
    """Give the key of the example's record: messages of one key keep their order."""
    if kind is STRIPE_WEBHOOK:
        return str(kind.example["id"])
    prefix = {"account": "acc", "key": "key", "subscription": "sub"}[kind.keyed_by]
    return _SUBJECTS[prefix]


def kcat(kind: MessageType) -> str:
    """Write the command line that sends a type's example."""
    send = ["kcat", "-P", "-b", _BROKER, "-t", kind.topic, "-k", record_key(kind)]
    if kind is STRIPE_WEBHOOK:
        # A signature is over the very bytes, so they come from a file, whole.
        return shlex.join([*send, "-H", "stripe-signature=t=1768478400,v1=5257a869…", "webhook.json"])
    body = json.dumps(example_of(kind), separators=(",", ":"))
    return f"printf %s {shlex.quote(body)} |\n  {shlex.join(send)}"


def markdown() -> str:
    """Write the page."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "\n## Topics\n\n| topic | record key | message types |\n|---|---|---|\n"
    for topic in dict.fromkeys(kind.topic for kind in MESSAGE_TYPES):
        kinds = [kind for kind in MESSAGE_TYPES if kind.topic == topic]
        names = ", ".join(f"[`{kind.name}`](#{_anchor(kind)})" for kind in kinds)
        yield f"| `{topic}` | {kinds[0].keyed_by} | {names} |\n"
    yield _RULES
    yield "\n## What refuses any command\n\n"
    yield from _refusals(ANY_COMMAND)
    for kind in MESSAGE_TYPES:
        yield from _section(kind)
    yield _KEYS


def _section(kind: MessageType) -> Iterator[str]:
    yield f"\n## {kind.name}\n\n{kind.summary}\n"
    about = [f"Schema: [`{file_name(kind)}`](../schemas/json/{file_name(kind)})"]
    if kind.subject is not None:
        about.append(f"subject: `{kind.subject}_…`")
    about.append(f"record key: the {kind.keyed_by}")
    if kind.scope:
        about.append(f"scope: `{kind.scope}`")
    yield "\n" + "; ".join(about) + ".\n"
    if kind.data is not None and kind.data().fields:
        yield "\n| data | | |\n|---|---|---|\n"
        yield from _fields(kind)
    if kind.refusals:
        yield "\nRefused as\n\n"
        yield from _refusals(kind.refusals)
    yield f"\n```json\n{json.dumps(example_of(kind), indent=2)}\n```\n\n```sh\n{kcat(kind)}\n```\n"


def _fields(kind: MessageType) -> Iterator[str]:
    data = schema_for(kind)["properties"]["data"]
    for name, described in data["properties"].items():
        need = "required" if name in data.get("required", ()) else "optional"
        if described.get("default") is not None:
            need = f"{json.dumps(described['default'])} unless given"
        yield f"| `{name}` | {_kind(described)} | {need} |\n"


def _kind(described: dict[str, Any]) -> str:
    types = described["type"] if isinstance(described["type"], list) else [described["type"]]
    words = [str(described.get("format", name)) for name in types]
    if "items" in described:
        words[0] = "list of " + ", ".join(f"`{one}`" for one in described["items"]["enum"])
    return " or ".join(words)


def _refusals(refusals: Iterable[type[Refusal]]) -> Iterator[str]:
    for refusal in refusals:
        yield f"- `{refusal.code}`: {(refusal.__doc__ or '').splitlines()[0]}\n"


def _anchor(kind: MessageType) -> str:
    return kind.name.replace(".", "")


assert set(COMMANDS) < {kind.name for kind in MESSAGE_TYPES}, "the page shows every command"

_INTRODUCTION: Final = """\
# Messages

Every message that Daybook takes from Kafka, written from the code by `daybook docs messages`. A message's
value is a [CloudEvent](https://cloudevents.io) 1.0 in structured JSON, one a record; only Stripe's webhooks
travel as they came. Each type has a JSON Schema (draft 2020-12) of the whole message, written by `daybook
docs schemas`: what the schema refuses is refused; what depends on the books is judged when the message is
read.

The examples are complete and can be sent with [kcat](https://github.com/edenhill/kcat) to the Kafka of
`docker-compose.yml`, once the ids in them are yours (the book of `daybook init`, a plan of `POST
/v1/plans`) and the `time` of usage is not long past and not to come.
"""

_RULES: Final = """
Records of one key keep their order, except that what has to wait (see below) is overtaken by what comes
behind it; records of different keys or topics do not wait for each other.

## Who may write

Whatever comes through the HTTP edge was admitted there: the edge signs what it passes on. Anyone else
writes as a *source*, the CloudEvents attribute `source`, into a *book*, the extension attribute `book` that
every message names. The book must have granted the source, which takes an operator's key with the scope
`admin`:

```sh
curl -X POST http://localhost:8400/v1/sources -H "Authorization: Bearer $DAYBOOK_KEY" \\
  -H "Content-Type: application/json" -d '{"source": "/signup", "scopes": ["usage:write", "write"]}'
```

`usage:write` admits usage, `write` admits commands and usage. What the source does is done in the name of
the principal that the grant names. A grant is judged at the time at which the broker took the message:
withdrawing it (`POST /v1/sources/withdraw`) does not undo what was taken before, and granting it does not
admit what came earlier. No source may do what takes the scope `admin`, such as changing a principal's key.
Who can write to the topics at all is Kafka's to say: keep them closed with its ACLs.

## Identity: once, however often it is sent

A message is identified by its book, its `source` and its `id`, for ever. Sent again with the same type,
subject and data (for usage: account, meter, quantity and data) it is a copy, and nothing happens. With
anything else it is a conflict: the first one stands, and the other becomes a dead letter that names the
position of the first. So make the id before the first try, and keep it for every other one. The transport,
`time` and attributes that Daybook does not know make no difference.

A command's facts happen when the broker took the message, not at its `time`; usage happens at its `time`.

## What becomes of a message

- **Carried out**, in one transaction with its place in the topic: by the very commands that HTTP runs.
- **Waiting** (`parked`): what it names is not there, such as usage of an account that has not registered
  yet, or a key of one. It is tried again by itself until `DAYBOOK_PARKED_SECONDS` have passed.
- **A dead letter** (`open`): it cannot be read, is not admitted, or the rules refuse it. It is kept with
  its reason and sent to `daybook.rejected`; a person looks at it with `daybook dead-letters`, and replays
  or discards it.

None of them holds up the messages behind it. Losing a race to another writer is no refusal: the command is
decided again.

## Chosen ids

Where a sender may choose an id, it is a random UUID of version 4 or 7 written as a
[TypeID](https://github.com/jetify-com/typeid): the prefix, `_`, and 26 characters of base 32. Whoever
chooses the id of an account can publish usage for it in the same breath; the usage waits for the account if
it has to.
"""

_KEYS: Final = """
## Keys through Kafka

A secret never travels through Kafka, where it would stay for as long as the topic keeps it. The sender
makes the key's id and its secret, shows the secret to its owner, and sends the SHA-256 of it. The secret
must name its key, since that is how a key is found: prefix, mode of the book (`live` or `test`), the 26
characters of the key's id, 32 random ones of base 32. Daybook stores HMAC-SHA-256(pepper, SHA-256(secret)),
as it does for keys it makes itself.

```python
import hashlib
import secrets
from uuid import uuid4

BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def typeid(prefix):
    number = uuid4().int
    return prefix + "_" + "".join(BASE32[number >> shift & 31] for shift in range(125, -1, -5))


key = typeid("key")
secret = "dbk_live_" + key.removeprefix("key_") + "".join(secrets.choice(BASE32) for _ in range(32))
data = {
    "key": key,
    "secret_sha256": hashlib.sha256(secret.encode()).hexdigest(),
    "hint": secret[-4:],
}
```

`dbk` is the prefix unless `DAYBOOK_KEY_PREFIX` says otherwise. To rotate a key, make a new secret around
the same id and send `secret_sha256` and `hint`.
"""
