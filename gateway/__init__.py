"""
The near bank and what both banks share.

Rooms in reading order:

    errors      the tree of what can go wrong
    core        decisions: pure (change, part, fold, ticket, outcome, bisect, health)
    sources     one adapter per helpdesk: verify, parse, normalize
    store       the bridge: every move on Redis
    ingest      the door: one POST becomes one put
    app         composition root of the web process
    cli         the operator's hand
    settings, telemetry

The other bank is the package `workers`.
"""
