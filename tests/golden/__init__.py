"""Files that hold what must never change."""
