"""Where processes say what happens: lines on standard error, for whoever runs them to keep."""

from __future__ import annotations

import logging


def log_to_standard_error() -> None:
    """Write every log line of INFO and above to standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    # Its clients tell of every connection they make, and readiness asks for one again and again.
    logging.getLogger("kafka").setLevel(logging.WARNING)
