"""Bugs at the door: what is answered when, what is kept, what may be known."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

GATE: Final = "gateway/ingest/gate.py"
COMMIT: Final = "gateway/ingest/group_commit.py"
ENDPOINT: Final = "gateway/ingest/endpoint.py"
PROBLEMS: Final = "gateway/ingest/problems.py"
TELEMETRY: Final = "gateway/telemetry.py"
ON_ENDPOINT: Final = "tests/ingest/test_endpoint.py::test_"
ON_COMMIT: Final = "tests/ingest/test_group_commit.py::test_"
ON_PROBLEMS: Final = "tests/ingest/test_problems.py::test_"
ON_TELEMETRY: Final = "tests/test_telemetry.py::test_"

MUTANTS: Final = (
    Mutant(
        "answered-before-it-is-written",
        "a delivery is acknowledged while its call to Redis is still under way",
        ("I1",),
        COMMIT,
        "answers = await self._put([waiter.delivery for waiter in batch])",
        (
            "deliveries = [waiter.delivery for waiter in batch]\n"
            '                    [self._settle(waiter, "accepted") for waiter in batch]\n'
            "                    answers = await self._put(deliveries)"
        ),
        (ON_COMMIT + "nobody_is_answered_before_its_call_returned",),
    ),
    Mutant(
        "failed-call-acknowledged",
        "what Redis did not take is acknowledged",
        ("I1",),
        COMMIT,
        "self._fail(batch, error)",
        '[self._settle(waiter, "accepted") for waiter in batch]',
        (ON_COMMIT + "an_error_reaches_every_waiter_of_its_call_and_the_next_call_is_fresh",),
    ),
    Mutant(
        "queue-without-bounds",
        "while Redis is slow the memory fills with waiting deliveries",
        ("I10",),
        COMMIT,
        "if self._waiting >= self._max_waiting:",
        "if False:",
        (ON_COMMIT + "the_queue_is_bounded",),
    ),
    Mutant(
        "unreadable-thrown-away",
        "an authentic body that cannot be read is answered and forgotten",
        ("I15", "I1"),
        GATE,
        "return Keep(request, delivery_id, error)",
        'return self.answer(202, {"status": "quarantined", "id": "q"}, stored=True)',
        (ON_ENDPOINT + "a_repeated_unreadable_delivery_is_kept_once",),
    ),
    Mutant(
        "defect-loses-the-body",
        "a defect in an adapter loses what is authentic",
        ("I15", "I8"),
        GATE,
        'return Keep(request, delivery_id, UnreadablePayload("internal_error", INTERNAL))',
        "raise",
        (ON_ENDPOINT + "a_defect_after_the_signature_quarantines_the_body",),
    ),
    Mutant(
        "defect-in-verify-lets-in",
        "a request that makes the verification crash counts as proved",
        ("I8",),
        GATE,
        'raise VerificationError("internal_error") from error',
        "pass",
        (ON_ENDPOINT + "a_defect_in_verify_refuses",),
    ),
    Mutant(
        "dedupe-by-id-alone",
        "two bodies with one id count as one delivery",
        ("I1",),
        GATE,
        "known = hashlib.sha256(body)",
        'known, body = hashlib.sha256(b""), b""',
        (ON_ENDPOINT + "one_id_on_two_bodies_is_two_deliveries",),
    ),
    Mutant(
        "dedupe-across-connections",
        "the same id and body of another connection count as a duplicate",
        ("I1", "I9"),
        GATE,
        '(len(body), connection.encode(), delivery_id.encode("utf-8", "surrogatepass"))',
        '(len(body), b"", delivery_id.encode("utf-8", "surrogatepass"))',
        (ON_ENDPOINT + "a_delivery_is_known_by_connection_id_and_body",),
    ),
    Mutant(
        "dedupe-by-content",
        "two equal events of a sender without ids count as one",
        ("I1",),
        GATE,
        "if delivery_id is None:\n        return None",
        'if delivery_id is None:\n        delivery_id = ""',
        (ON_ENDPOINT + "a_delivery_is_known_by_connection_id_and_body",),
    ),
    Mutant(
        "on-delete-ignored",
        "a deletion goes through where the administrator wants it closed or left out",
        ("I2",),
        GATE,
        'if connection.on_delete == "delete"',
        "if True",
        (ON_ENDPOINT + "deletions_are_passed_on_closed_or_left_out",),
    ),
    Mutant(
        "redis-away-is-a-500",
        "an outage of Redis is told as a 500, which Zendesk never repeats",
        ("I8", "I1"),
        PROBLEMS,
        'StoreUnavailable: Problem(503, "unavailable", retry=True)',
        'StoreUnavailable: Problem(500, "unavailable", retry=True)',
        (ON_PROBLEMS + "every_status_is_one_of_the_contract",),
    ),
    Mutant(
        "come-back-in-two-minutes",
        "senders that repeat within a minute only are told to come back later",
        ("I1",),
        PROBLEMS,
        "RETRY_AFTER_S: Final = (5, 59)",
        "RETRY_AFTER_S: Final = (60, 119)",
        (ON_PROBLEMS + "a_sender_is_asked_back_within_a_minute",),
    ),
    Mutant(
        "endless-body-read",
        "a body without a declared length is read whole, whatever its size",
        ("I8", "I10"),
        ENDPOINT,
        "if size > self._max_body_bytes:",
        "if False:",
        (ON_ENDPOINT + "a_chunked_body_is_taken_and_capped_alike",),
    ),
    Mutant(
        "secret-kept-in-quarantine",
        "the header that carries the secret is kept with an unreadable body",
        ("I9",),
        ENDPOINT,
        "for key, value in request.headers if key not in _SECRET_HEADERS)",
        "for key, value in request.headers)",
        (ON_ENDPOINT + "what_carries_a_secret_is_not_kept_with_a_body",),
    ),
    Mutant(
        "secret-in-the-log",
        "configured secrets are printed",
        ("I9",),
        TELEMETRY,
        'text = self._known.sub("[redacted]", text)',
        "pass",
        (ON_TELEMETRY + "no_secret_comes_out",),
    ),
)
