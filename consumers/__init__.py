"""What loops: it reads the log or a feed and runs commands."""
