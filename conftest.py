"""The one thing every test shares before any is collected: how Hypothesis searches."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A failing example prints a blob that replays it anywhere; a deadline would fail by chance on a busy machine.
settings.register_profile(
    "daybook",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
