"""The bridge: all of Redis. `pending.Store` is its one door."""
