"""The pages of documentation that are made from the code are what the code says."""

from __future__ import annotations

from click.testing import CliRunner

from api.cli import daybook


def test_the_generated_pages_are_what_the_code_says() -> None:
    result = CliRunner().invoke(daybook, ["docs", "--check"])
    assert result.exit_code == 0, result.output
