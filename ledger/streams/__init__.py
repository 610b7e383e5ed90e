"""State and decisions, one module a stream: `decide` functions may refuse, `evolve` never does."""
