"""Read models: thrown away and rebuilt from the log at will, and always the same."""
