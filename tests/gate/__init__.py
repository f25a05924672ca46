"""
The front gate under attack: what must never be accepted, never be a 5xx, never cost memory.

`battery.py` says which test holds which line of the battery; `python -m tests.gate` is the flood.
"""
