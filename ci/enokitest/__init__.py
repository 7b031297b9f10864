"""The tests, benchmarks and demonstrations: what runs, in which machine, and how it is counted."""
