"""Tests against real parts: PostgreSQL, processes, signals."""
