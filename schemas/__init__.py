"""What crosses the edges: requests, responses, webhooks and usage on the wire."""
