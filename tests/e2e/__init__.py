"""The service as its users meet it: real processes, killed and stopped as life does."""
