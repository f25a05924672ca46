"""The door: one POST becomes one `put`. Read endpoint.py first, then problems.py, group_commit.py, protocol.py."""
