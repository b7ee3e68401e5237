"""Speed through the public API, beside its floor in the same run: `python -m benchmarks --help`."""
