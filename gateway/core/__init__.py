"""Decisions: pure, no I/O, no clock, no randomness. Read change, part, fold, ticket, outcome in this order."""
