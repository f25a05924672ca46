"""What several calls in a row teach."""

from __future__ import annotations

from gateway.core import health as healths
from gateway.core.health import (
    Health,
    after_ambiguous,
    after_lone_failure,
    after_success,
    after_unavailable,
    batch_limit,
)


def test_three_unavailable_answers_in_a_row_send_one_ticket_alone() -> None:
    health = Health()
    for _ in range(2):
        health = after_unavailable(health, ("a", "b"))
        assert batch_limit(health, 5000) == 5000
    health = after_unavailable(health, ("a", "b"))
    assert health.mode == "probing"
    assert batch_limit(health, 5000) == 1
    assert health.tested == ("a", "b")


def test_a_failing_probe_opens_the_circuit_and_forgives_the_batch() -> None:
    health = after_unavailable(Health(fails=3, mode="probing", tested=("a", "b")), ("c",))
    assert health.mode == "open"
    assert health.tested == ()


def test_a_success_ends_every_trouble() -> None:
    health = after_success(Health(fails=9, mode="open", lone=("x",), limited=3), configured=5000)
    assert health == Health()


def test_a_time_out_halves_the_batch_and_ten_clean_calls_double_it() -> None:
    health = after_ambiguous(Health(), 5000, timed_out=True)
    assert batch_limit(health, 5000) == 2500
    health = after_ambiguous(health, 2500, timed_out=True)
    assert batch_limit(health, 5000) == 1250
    for _ in range(10):
        health = after_success(health, configured=5000)
    assert batch_limit(health, 5000) == 2500
    for _ in range(10):
        health = after_success(health, configured=5000)
    assert health.batch_items == 0
    assert batch_limit(after_ambiguous(Health(), 150, timed_out=True), 5000) == 100


def test_a_small_call_was_not_too_large_whatever_became_of_it() -> None:
    assert batch_limit(after_ambiguous(Health(), 100, timed_out=True), 5000) == 5000


def test_two_cut_connections_in_a_row_halve_as_a_time_out_does() -> None:
    once = after_ambiguous(Health(), 5000, timed_out=False)
    assert batch_limit(once, 5000) == 5000
    assert batch_limit(after_ambiguous(once, 5000, timed_out=False), 5000) == 2500
    between = after_success(once, configured=5000)
    assert batch_limit(after_ambiguous(between, 5000, timed_out=False), 5000) == 5000


def test_ten_lone_failures_in_a_row_are_systemic_and_all_go_back() -> None:
    health = Health()
    for number in range(9):
        health, back = after_lone_failure(health, f"t{number}")
        assert back == ()
    health, back = after_lone_failure(health, "t9")
    assert back == tuple(f"t{number}" for number in range(10))
    assert health.lone == ()


def test_lone_failures_are_never_systemic_once_something_of_the_same_search_has_passed() -> None:
    health = Health(cleared=1)
    for number in range(100):
        health, back = after_lone_failure(health, f"t{number}")
        assert back == ()
    assert health.found == 100
    assert len(health.lone) < 10


def test_one_ticket_that_fails_again_and_again_is_not_systemic() -> None:
    health = Health()
    for _ in range(20):
        health, back = after_lone_failure(health, "same")
        assert back == ()
    assert health.lone == ("same",)


def test_health_reads_back_and_damage_counts_as_good_health() -> None:
    health = Health(
        fails=2, mode="open", tested=("a",), batch_items=7, clean=1, lone=("b",), found=1, cleared=2, limited=3
    )
    assert healths.of(health.fields()) == health
    assert healths.of({}) == Health()
    assert healths.of({"record": "[]"}) == Health()
    assert healths.of({"record": "?"}) == Health()
    assert healths.of({"record": '{"lone": 5}'}) == Health()


def test_a_ticket_that_alone_fails_again_and_again_is_struck_when_another_passes():
    health = Health()
    for _ in range(6):
        health = after_unavailable(health, ("poison",))
    assert health.mode == "open"
    once = after_success(health, configured=5000, passed=("other",))
    assert once.struck == "poison"
    for _ in range(6):
        once = after_unavailable(once, ("poison",))
    assert after_success(once, configured=5000, passed=("other",)).convicted == "poison"


def test_a_ticket_that_fails_with_others_and_then_alone_is_struck_when_another_passes():
    health = Health()
    for _ in range(3):
        health = after_unavailable(health, ("other", "poison"))
    assert after_success(health, configured=5000, passed=("other",)).struck == "", "it has not been alone"
    alone = after_unavailable(health, ("poison",))
    assert after_success(alone, configured=5000, passed=("other",)).struck == "poison"
    both = after_unavailable(alone, ("other",))
    assert after_success(both, configured=5000, passed=("third",)).struck == "", "Planhat itself was unwell"
