"""The topics, by name: what comes in through Kafka, and what goes out."""

from __future__ import annotations

from typing import Final

USAGE: Final = "daybook.usage"
ACCOUNTS: Final = "daybook.accounts"
KEYS: Final = "daybook.keys"
SUBSCRIPTIONS: Final = "daybook.subscriptions"
STRIPE: Final = "daybook.stripe"
REJECTED: Final = "daybook.rejected"
EVENTS: Final = "daybook.events"

# What `daybook consume` reads.
COMMANDS: Final = (ACCOUNTS, KEYS, SUBSCRIPTIONS)
INBOUND: Final = (USAGE, *COMMANDS, STRIPE)
OUTBOUND: Final = (REJECTED, EVENTS)
