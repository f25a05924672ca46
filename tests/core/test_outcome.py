"""The table "A batch's fate", one test per row, and what must hold for every answer whatever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.outcome import TEXT_CAP, BulkOutcome, Decision, ErrorEntry, Verdict, decide

SENT = ("zendesk:1", "zendesk:2", "zendesk:3")


def entry(text: str, *ids: str) -> ErrorEntry:
    """Make an entry as the wire reads it: the text is a leaf as well."""
    return ErrorEntry(text, frozenset((text, *ids)))


def clear(status: int, counted: int | None = None, *entries: ErrorEntry, **more: object) -> BulkOutcome:
    """Make an answered call whose counts all stand under `updated`."""
    return BulkOutcome("clear", status, updated=counted, entries=entries, **more)  # type: ignore[arg-type]


def parts(decision: Decision) -> tuple[Verdict, set[str], set[str]]:
    """Give verdict, acked and suspects as a test writes them."""
    return decision.verdict, set(decision.acked), set(decision.suspects)


# -- 200 ---------------------------------------------------------------------------------------------------------------


def test_200_with_counts_that_add_up_acks_all() -> None:
    outcome = BulkOutcome("clear", 200, created=1, updated=2)
    assert decide(outcome, SENT) == Decision(Verdict.ACK_ALL, acked=frozenset(SENT))


def test_unchanged_items_count_as_done() -> None:
    assert decide(BulkOutcome("clear", 200, created=1, updated=1, nonupdates=1), SENT).verdict is Verdict.ACK_ALL


def test_200_with_fewer_counted_and_no_ids_is_read_back() -> None:
    decision = decide(BulkOutcome("clear", 200, created=1, updated=1), SENT)
    assert parts(decision) == (Verdict.READ_BACK, set(), set())
    assert decision.detail == "2 of 3 counted"


def test_200_that_counts_nothing_is_read_back_not_bisected() -> None:
    assert decide(BulkOutcome("clear", 200, created=0, updated=0), SENT).verdict is Verdict.READ_BACK


def test_200_with_fewer_counted_acks_what_the_answer_lists_as_written() -> None:
    outcome = clear(200, 2, ids={"zendesk:1": "a"}, created_ids=frozenset({"zendesk:2"}))
    decision = decide(outcome, SENT)
    assert parts(decision)[:2] == (Verdict.READ_BACK, {"zendesk:1", "zendesk:2"})
    assert decision.rest(SENT) == {"zendesk:3"}


def test_listed_ids_that_the_counts_deny_prove_nothing() -> None:
    outcome = clear(200, 1, ids={"zendesk:1": "a", "zendesk:2": "b"})
    assert decide(outcome, SENT).acked == frozenset()


def test_200_with_more_counted_than_sent_acks_all_with_a_note() -> None:
    decision = decide(clear(200, 4), SENT)
    assert parts(decision)[:2] == (Verdict.ACK_ALL, set(SENT))
    assert decision.detail == "4 counted of 3 sent"


def test_200_without_counts_is_ambiguous() -> None:
    assert decide(clear(200), SENT).verdict is Verdict.AMBIGUOUS


def test_200_with_an_entry_is_settled_per_item() -> None:
    decision = decide(clear(200, 2, entry("no email", "zendesk:2")), SENT)
    assert parts(decision) == (
        Verdict.PER_ITEM,
        {"zendesk:1", "zendesk:3"},
        {"zendesk:2"},
    )
    assert decision.words == {"zendesk:2": "no email"}


# -- 206, 400, 403 with entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [206, 400, 403])
def test_named_items_are_suspects_and_counted_ones_are_acked(status: int) -> None:
    decision = decide(clear(status, 2, entry("no email", "zendesk:2")), SENT)
    assert decision.verdict is Verdict.PER_ITEM
    assert parts(decision)[1:] == ({"zendesk:1", "zendesk:3"}, {"zendesk:2"})


@pytest.mark.parametrize("status", [206, 400, 403])
@pytest.mark.parametrize("counted", [None, 0, 1])
def test_unnamed_items_that_the_counts_do_not_cover_are_sent_again(status: int, counted: int | None) -> None:
    decision = decide(clear(status, counted, entry("no email", "zendesk:2")), SENT)
    assert decision.verdict is Verdict.PER_ITEM
    assert parts(decision)[1:] == (set(), {"zendesk:2"})
    assert decision.rest(SENT) == {"zendesk:1", "zendesk:3"}


@pytest.mark.parametrize("status", [200, 206, 400, 403])
def test_an_entry_that_names_nobody_bisects_what_is_not_acked(status: int) -> None:
    decision = decide(clear(status, 2, entry("externalId,email duplicated")), SENT)
    assert parts(decision) == (Verdict.BISECT, set(), set())
    assert decision.detail == "externalId,email duplicated"


def test_named_and_unnamed_failures_together_bisect_and_keep_the_suspects() -> None:
    decision = decide(clear(206, 1, entry("bad", "zendesk:1"), entry("worse")), SENT)
    assert parts(decision) == (Verdict.BISECT, set(), {"zendesk:1"})


def test_items_listed_as_written_are_acked_while_the_rest_is_bisected() -> None:
    outcome = clear(206, 2, entry("worse"), ids={"zendesk:1": "a"}, created_ids=frozenset({"zendesk:1"}))
    decision = decide(outcome, SENT)
    assert parts(decision)[:2] == (Verdict.BISECT, {"zendesk:1"})


def test_a_remark_that_names_nobody_does_not_undo_full_counts() -> None:
    decision = decide(clear(200, 3, entry("field severity is deprecated")), SENT)
    assert parts(decision)[:2] == (Verdict.ACK_ALL, set(SENT))
    assert decision.detail == "field severity is deprecated"


def test_an_item_that_is_counted_and_named_is_never_acked() -> None:
    decision = decide(clear(206, 3, entry("half done", "zendesk:3")), SENT)
    assert parts(decision) == (
        Verdict.PER_ITEM,
        {"zendesk:1", "zendesk:2"},
        {"zendesk:3"},
    )


def test_an_item_listed_as_written_and_named_by_an_error_is_never_acked() -> None:
    outcome = clear(206, 1, entry("no", "zendesk:1"), ids={"zendesk:1": "a"})
    assert decide(outcome, SENT).acked == frozenset()


def test_an_entry_that_names_two_items_explains_one_missing_count() -> None:
    both = entry("duplicated", "zendesk:1", "zendesk:2")
    assert decide(clear(206, 1, both), SENT).acked == frozenset()
    assert decide(clear(206, 2, both), SENT).acked == {"zendesk:3"}


def test_several_entries_about_one_item_explain_one_missing_count() -> None:
    entries = (entry("no email", "zendesk:1"), entry("no domain", "zendesk:1"))
    assert decide(clear(206, 1, *entries), SENT).acked == frozenset()
    decision = decide(clear(206, 2, *entries), SENT)
    assert decision.acked == {"zendesk:2", "zendesk:3"}
    assert decision.words == {"zendesk:1": "no email"}


def test_a_lone_item_that_fails_unnamed_has_failed_alone() -> None:
    decision = decide(clear(400, 0, entry("email is not valid")), ["zendesk:1"])
    assert (decision.verdict, set(decision.rest(["zendesk:1"]))) == (Verdict.BISECT, {"zendesk:1"})
    assert decision.detail == "email is not valid"


# -- how entries name items --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "zendesk:2",
        "ticket zendesk:2 has no email",
        "sourceId zendesk:2.",
        "sourceId:zendesk:2: email missing",
        '{"sourceId":"zendesk:2"}',
        "[zendesk:2] refused",
        "duplicated (sourceId=zendesk:2)",
    ],
)
def test_an_id_inside_a_sentence_names_its_item(text: str) -> None:
    assert decide(clear(206, 2, entry(text)), SENT).suspects == {"zendesk:2"}


def test_an_id_inside_a_longer_id_names_nobody() -> None:
    assert decide(clear(206, 2, entry("zendesk:21 or xzendesk:2 or zendesk:2-b")), SENT).suspects == frozenset()


def test_an_exact_leaf_counts_before_words_of_the_message() -> None:
    decision = decide(clear(206, 2, entry("zendesk:1 is not zendesk:3", "zendesk:2")), SENT)
    assert decision.suspects == {"zendesk:2"}


def test_planhats_own_id_names_an_item_that_the_answer_lists() -> None:
    outcome = clear(206, 2, entry("company is gone", "64b0c0ffee"), ids={"zendesk:3": "64b0c0ffee"})
    assert decide(outcome, SENT).suspects == {"zendesk:3"}


def test_a_bare_number_in_a_sentence_makes_a_suspect_but_acks_nobody() -> None:
    decision = decide(clear(206, 1, entry("at most 5 domains")), ["5", "7"])
    assert parts(decision) == (Verdict.PER_ITEM, set(), {"5"})


def test_a_bare_number_as_a_whole_leaf_is_an_id() -> None:
    decision = decide(clear(206, 1, entry("too many domains", "5")), ["5", "7"])
    assert parts(decision)[1:] == ({"7"}, {"5"})


# -- refusals of the whole call ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 405, 301, 302, 304, 307, 308])
def test_a_refused_call_stops_the_destination(status: int) -> None:
    decision = decide(clear(status, detail="go away"), SENT)
    assert decision == Decision(Verdict.STOP, detail="go away")


def test_403_with_counts_of_zero_is_the_whole_call() -> None:
    assert decide(BulkOutcome("clear", 403, created=0, updated=0), SENT).verdict is Verdict.STOP


def test_403_with_counts_is_partial() -> None:
    outcome = BulkOutcome("clear", 403, created=0, updated=2, ids={"zendesk:1": "a"})
    decision = decide(outcome, SENT)
    assert parts(decision)[:2] == (Verdict.BISECT, {"zendesk:1"})


def test_403_whose_counts_cover_everything_acks_all() -> None:
    assert decide(clear(403, 3), SENT).verdict is Verdict.ACK_ALL


@pytest.mark.parametrize("status", [400, 402, 409, 410, 413, 422, 431, 451])
def test_a_refused_batch_is_bisected(status: int) -> None:
    assert decide(clear(status, detail="no"), SENT) == Decision(Verdict.BISECT, detail="no")


def test_a_refusal_without_words_names_its_status() -> None:
    assert decide(clear(413), SENT).detail == "HTTP 413"


def test_429_pauses_for_what_planhat_asks() -> None:
    assert decide(clear(429, retry_after_s=7.0), SENT) == Decision(Verdict.PAUSE, detail="HTTP 429", wait_s=7.0)
    assert decide(clear(429), SENT).wait_s is None


@pytest.mark.parametrize("status", [500, 503])
def test_a_fault_of_planhat_backs_off(status: int) -> None:
    decision = decide(clear(status, retry_after_s=3.0), SENT)
    assert (decision.verdict, decision.acked, decision.wait_s) == (Verdict.BACK_OFF, frozenset(), 3.0)


def test_a_call_that_was_never_sent_backs_off() -> None:
    assert decide(BulkOutcome("unsent"), SENT) == Decision(Verdict.BACK_OFF, detail="nothing was sent")


# -- ends without a clear answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [100, 408, 501, 502, 504, 520, 524, 599, 0, 700, -1])
def test_a_status_that_proves_nothing_is_ambiguous(status: int) -> None:
    assert decide(clear(status), SENT).verdict is Verdict.AMBIGUOUS


def test_no_answer_is_ambiguous() -> None:
    assert decide(BulkOutcome("ambiguous"), SENT) == Decision(Verdict.AMBIGUOUS, detail="no clear answer")
    assert decide(BulkOutcome("clear"), SENT).verdict is Verdict.AMBIGUOUS


def test_a_2xx_that_could_not_be_read_is_ambiguous() -> None:
    decision = decide(BulkOutcome("ambiguous", 200, detail="not JSON"), SENT)
    assert decision == Decision(Verdict.AMBIGUOUS, detail="not JSON")


# -- for every answer --------------------------------------------------------------------------------------------------

IDS = st.sampled_from(["zendesk:1", "zendesk:2", "freshdesk:2", "5", "70881", "a b", ""])
WORDS = st.one_of(IDS, st.text(max_size=12), IDS.map(lambda one: f"ticket {one}, sorry."))
ENTRIES = st.builds(ErrorEntry, text=st.text(max_size=600), ids=st.frozensets(WORDS, max_size=3))
COUNTS = st.one_of(st.none(), st.integers(-2, 9))
OUTCOMES = st.builds(
    BulkOutcome,
    kind=st.sampled_from(["clear", "ambiguous", "unsent"]),
    status=st.one_of(st.none(), st.integers(-1, 1000), st.sampled_from([200, 206, 400, 403])),
    created=COUNTS,
    updated=COUNTS,
    nonupdates=COUNTS,
    entries=st.lists(ENTRIES, max_size=4).map(tuple),
    ids=st.dictionaries(IDS, st.text(max_size=4), max_size=4),
    created_ids=st.frozensets(IDS, max_size=3),
    retry_after_s=st.one_of(st.none(), st.floats(0, 3600)),
    detail=st.text(max_size=600),
)


@given(outcome=OUTCOMES, sent=st.lists(IDS, unique=True, max_size=6))
def test_any_answer_parts_the_items_and_acks_none_that_an_entry_names(outcome: BulkOutcome, sent: list[str]) -> None:
    decision = decide(outcome, sent)
    everything = frozenset(sent)
    assert decision.acked | decision.suspects | decision.rest(sent) == everything
    assert not decision.acked & decision.suspects
    named = frozenset().union(*(one.ids for one in outcome.entries))
    assert not decision.acked & named or outcome.kind != "clear"
    assert decision.words.keys() == decision.suspects
    assert len(decision.detail) <= TEXT_CAP
    assert all(len(words) <= TEXT_CAP for words in decision.words.values())


@given(outcome=OUTCOMES, sent=st.lists(IDS, unique=True, min_size=1, max_size=6))
def test_only_a_clear_answer_acks_and_never_more_than_it_counts(outcome: BulkOutcome, sent: list[str]) -> None:
    decision = decide(outcome, sent)
    if decision.acked:
        assert outcome.kind == "clear"
        assert outcome.status is not None
        assert 200 <= outcome.status < 300 or outcome.status in (400, 403)
        assert len(decision.acked) <= (outcome.counted or 0)


@given(outcome=OUTCOMES, sent=st.lists(IDS, unique=True, min_size=1, max_size=6))
def test_every_verdict_moves_the_batch_forward(outcome: BulkOutcome, sent: list[str]) -> None:
    decision = decide(outcome, sent)
    if decision.verdict is Verdict.ACK_ALL:
        assert decision.acked == frozenset(sent)
    if decision.verdict is Verdict.PER_ITEM:
        assert decision.suspects
    if decision.verdict in (Verdict.STOP, Verdict.PAUSE, Verdict.BACK_OFF, Verdict.AMBIGUOUS):
        assert not decision.acked | decision.suspects
