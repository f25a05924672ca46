"""
Mutants: planted bugs that the tests must catch, the tests of the tests.

    python -m tests.mutants [--only NAME] [--json] [--jobs 2]

A mutant is data: one text of the product and what a careless change would make of it (`on_*.py`, a table per room).
`workshop.py` copies the project, plants one bug after the other and runs the tests that are said to catch it;
`witness.py` watches from inside how each test ends. Only a failed assertion counts as a catch.
"""
