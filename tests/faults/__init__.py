"""Faults on real processes. Nothing in this package imports `gateway` or `workers`: they are only started and asked."""
