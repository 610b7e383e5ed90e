"""The catalogue of events says what the code does, and the page in docs/ is that catalogue."""

from __future__ import annotations

from dataclasses import fields
from inspect import getdoc
from pathlib import Path

from ledger.event_reference import event_catalogue_markdown
from ledger.events import EVENT_CLASSES

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
CATALOGUE = event_catalogue_markdown()


def section(topic: str) -> str:
    """Give what the catalogue says of a topic."""
    return CATALOGUE.split(f"### `{topic}` version ")[1].split("\n##")[0]


def test_the_page_in_docs_is_the_catalogue() -> None:
    written = PAGE.read_text("utf-8") if PAGE.exists() else ""
    assert written == CATALOGUE, "docs/events.md is not what the code says: run `daybook docs events`"


def test_every_topic_is_there_once_with_its_meaning_and_its_fields() -> None:
    for topic, event_class in EVENT_CLASSES.items():
        assert CATALOGUE.count(f"### `{topic}` version {event_class.version}: {event_class.__name__}\n") == 1
        assert (getdoc(event_class) or "-") in section(topic)
        for field in fields(event_class):
            assert f"| `{field.name}` |" in section(topic)


def test_personal_fields_are_marked_and_say_under_whose_key_they_are() -> None:
    for topic, event_class in EVENT_CLASSES.items():
        assert section(topic).count("| personal |") == len(event_class.personal)
        assert ("under the data key of" in section(topic)) == bool(event_class.personal)
    assert "under the data key of the account" in section("account.registered")
    assert "under the data key of the document" in section("invoice.finalized")
    assert "under the data key of the Stripe customer" in section("stripe.event_received")


def test_every_structure_in_a_field_is_described() -> None:
    parts = CATALOGUE.split("## Parts\n")[1]
    for name in ("Actor", "DiscountShare", "InvoiceLine", "LineTax", "Posting", "StripeSubscriptionItem"):
        assert f"### {name}\n" in parts
