"""Use cases: load, decide, append. One module a subject; nothing here reads a clock or the environment."""
