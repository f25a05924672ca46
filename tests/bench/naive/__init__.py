"""
The naive gateway, as a good author would ship it in an afternoon: one arq job per webhook, one PUT per ticket.

Starlette, orjson, hiredis and keep-alive connections, like ours; nothing is slowed down on purpose. It is what the
benchmarks compare with, not something to run.
"""
