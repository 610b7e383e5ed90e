"""The measured figures: `python -m bench [NAME]`, explained in docs/benchmarks.md."""
