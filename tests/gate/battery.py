"""
The battery: every hostile case that this gate must stand, and the tests that hold it.

`tests/gate/test_battery.py` sees that each named test exists. B1-B33 are about proofs, H1-H13 about HTTP, P1-P9 about
parsers, L1-L6 about what leaks. Where another answer than the usual 401 is right, the case says so.

Longer than 400 lines because the table is whole here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CONFORMANCE: Final = "tests/sources/test_conformance.py::"
SIGNING: Final = "tests/sources/test_signing.py::"
READING: Final = "tests/sources/test_reading.py::"
GENERIC: Final = "tests/sources/test_generic.py::"
ZENDESK: Final = "tests/sources/test_zendesk.py::"
ENDPOINT: Final = "tests/ingest/test_endpoint.py::"
PROTOCOL: Final = "tests/ingest/test_protocol.py::"
SERVE: Final = "tests/ingest/test_serve.py::"
SETTINGS: Final = "tests/test_settings.py::"
TELEMETRY: Final = "tests/test_telemetry.py::"
WIRE: Final = "tests/gate/test_wire.py::"
HOSTILE: Final = "tests/gate/test_hostile.py::"
FLOOD: Final = "tests/gate/test_flood.py::"
SLOW: Final = "tests/gate/test_slow.py::"

FORGED: Final = f"{ENDPOINT}test_nothing_forged_is_accepted_and_nothing_is_a_500"
THE_FLOOD: Final = f"{FLOOD}test_a_flood_of_hostile_requests_changes_nothing_and_every_authentic_one_is_accepted"
LEAKS: Final = f"{ENDPOINT}test_no_secret_and_no_payload_reaches_a_log_or_an_answer"


class Case(NamedTuple):
    """A hostile case and the tests that hold it; where `answer` is empty it is 401, without any effect."""

    what: str
    held_by: tuple[str, ...]
    answer: str = ""


BATTERY: Final[dict[str, Case]] = {
    "B1": Case(
        "a header of the proof is missing",
        (f"{CONFORMANCE}test_each_header_of_a_proof_is_needed_and_may_stand_once", FORGED, THE_FLOOD),
    ),
    "B2": Case(
        "an empty or truncated signature, of any length",
        (
            f"{CONFORMANCE}test_every_flipped_byte_of_a_proof_is_refused",
            f"{GENERIC}test_a_signature_that_is_not_exactly_right_is_refused",
            FORGED,
        ),
    ),
    "B3": Case(
        "no comma, two commas, an unknown version",
        (f"{GENERIC}test_a_signature_that_is_not_exactly_right_is_refused", FORGED),
    ),
    "B4": Case(
        "junk beside a good entry",
        (f"{GENERIC}test_one_good_entry_counts_whatever_stands_beside_it",),
        "the good entry counts; versions are never compared with each other's key",
    ),
    "B5": Case(
        "a rotation list with wrong, unknown and right entries",
        (
            f"{CONFORMANCE}test_a_signed_sample_is_accepted_with_every_secret_of_the_rotation",
            f"{ENDPOINT}test_every_rotated_secret_and_a_list_of_signatures_pass",
        ),
        "accepted",
    ),
    "B6": Case(
        "base64 with junk, another padding, the URL alphabet, stray bits",
        (
            f"{SIGNING}test_base64_that_is_not_canonical_or_not_of_the_length_is_refused",
            f"{SIGNING}test_base64_with_stray_bits_is_refused_though_decoders_take_it",
            f"{ENDPOINT}test_a_delivery_is_known_by_connection_id_and_body",
        ),
        "401; the signature is never the key of a delivery",
    ),
    "B7": Case(
        "a signature that is not ASCII, holds NUL or is 64 KiB long",
        (f"{CONFORMANCE}test_a_garbage_proof_is_refused", FORGED, THE_FLOOD),
        "401; 431 where the head is over its cap",
    ),
    "B8": Case(
        "hex for base64 and the reverse, upper case, a prefix missing, doubled or in another case",
        (
            f"{SIGNING}test_hex_of_another_length_case_or_alphabet_is_refused",
            f"{SIGNING}test_a_digest_is_read_as_the_adapter_says_and_never_as_the_request_says",
            FORGED,
        ),
    ),
    "B9": Case(
        "another algorithm, or one that the request names",
        (
            f"{GENERIC}test_no_other_algorithm_than_the_configured_one_is_taken",
            f"{SIGNING}test_a_digest_is_read_as_the_adapter_says_and_never_as_the_request_says",
        ),
    ),
    "B10": Case(
        "times with fractions, Unicode digits, signs, exponents, 400 digits",
        (
            f"{SIGNING}test_seconds_are_up_to_twelve_plain_digits",
            f"{SIGNING}test_an_iso_time_of_another_form_is_refused",
            f"{GENERIC}test_a_time_that_is_not_plain_seconds_is_refused_though_signed",
            f"{ZENDESK}test_a_time_that_is_not_strictly_written_is_refused_though_signed",
        ),
    ),
    "B11": Case(
        "times at both edges of the window",
        (
            f"{CONFORMANCE}test_the_window_has_two_closed_edges",
            f"{SIGNING}test_an_age_has_two_closed_edges_and_zero_switches_it_off",
        ),
        "inside accepted, outside 401",
    ),
    "B12": Case(
        "a byte moved between id, time and body",
        (
            f"{GENERIC}test_a_dot_moved_between_id_and_time_is_refused",
            f"{GENERIC}test_an_id_that_could_shift_the_dots_is_refused_though_signed",
            f"{ZENDESK}test_a_byte_cannot_move_between_time_and_body",
        ),
    ),
    "B13": Case(
        "a good request replayed inside the window",
        (
            f"{ENDPOINT}test_a_repeated_delivery_is_a_duplicate_without_effect",
            f"{WIRE}test_a_replay_has_no_second_effect_before_and_after_a_restart",
        ),
        "2xx without a second effect",
    ),
    "B14": Case(
        "a good request replayed outside the window, or after a restart",
        (
            f"{WIRE}test_a_replay_outside_the_window_is_refused_where_time_is_signed",
            f"{WIRE}test_a_replay_has_no_second_effect_before_and_after_a_restart",
        ),
        "401, or 2xx without a second effect",
    ),
    "B15": Case(
        "a body of equal meaning, of one byte more, less or other",
        (
            f"{CONFORMANCE}test_a_body_of_equal_meaning_is_refused",
            f"{CONFORMANCE}test_a_body_that_differs_in_one_byte_is_refused",
            THE_FLOOD,
        ),
    ),
    "B16": Case(
        "signed rightly, but not UTF-8, not JSON, or empty",
        (
            f"{ENDPOINT}test_an_authentic_body_that_cannot_be_read_is_kept_whole",
            f"{HOSTILE}test_no_authentic_body_is_lost_or_fails",
            f"{WIRE}test_whatever_stands_in_an_unreadable_delivery_it_can_be_shown_and_read_again",
        ),
        "202 quarantined: what is authentic is never lost",
    ),
    "B17": Case(
        "a wrong signature over a body that is not UTF-8, or a megabyte of brackets",
        (
            f"{CONFORMANCE}test_nothing_of_a_forged_body_is_read",
            f"{HOSTILE}test_no_bytes_under_a_forged_proof_are_read",
            FORGED,
        ),
        "401, and no attempt to parse",
    ),
    "B18": Case(
        "signed rightly: endless depth, 5,000 digits, equal keys, lone surrogates, NaN, 1e999",
        (
            f"{CONFORMANCE}test_a_hostile_body_is_kept_aside_though_it_is_signed",
            f"{ENDPOINT}test_an_authentic_body_that_cannot_be_read_is_kept_whole",
        ),
        "202 quarantined, without an effect on any ticket",
    ),
    "B19": Case(
        "a signature of another tenant, source or route",
        (
            f"{CONFORMANCE}test_a_proof_of_another_source_is_refused",
            f"{ENDPOINT}test_a_signature_of_another_connection_proves_nothing",
            THE_FLOOD,
        ),
    ),
    "B20": Case(
        "a header of the proof, the content type or the encoding sent twice",
        (
            f"{CONFORMANCE}test_each_header_of_a_proof_is_needed_and_may_stand_once",
            f"{CONFORMANCE}test_a_header_that_two_hops_could_read_differently_is_refused",
            FORGED,
        ),
    ),
    "B21": Case(
        "a secret absent, empty, blank, short, or an empty entry in the list",
        (
            f"{SETTINGS}test_an_empty_short_or_public_secret_is_refused_at_boot",
            f"{CONFORMANCE}test_a_connection_without_secrets_accepts_nothing",
            f"{CONFORMANCE}test_an_empty_entry_in_the_rotation_accepts_nothing_signed_with_nothing",
            f"{CONFORMANCE}test_weak_secrets_are_named_at_boot_without_being_shown",
        ),
        "refuses to start; never an empty key",
    ),
    "B22": Case(
        "a secret with a line end behind it",
        (f"{SETTINGS}test_a_list_of_secrets_rotates_and_stray_white_space_does_not_count",),
        "white space around it does not count",
    ),
    "B23": Case(
        "an old and a new secret before and after a change of the settings",
        (
            f"{WIRE}test_a_secret_is_good_from_the_start_that_names_it_to_the_start_that_does_not",
            f"{CONFORMANCE}test_a_secret_that_was_taken_out_is_refused",
        ),
        "good from the start that names it to the start that does not",
    ),
    "B24": Case(
        "a wrong secret deployed",
        (f"{WIRE}test_a_wrong_secret_deployed_shows_in_the_figures",),
        "401, counted by connection and reason; the sender retries",
    ),
    "B25": Case(
        "forwarding headers, a peer on loopback",
        (f"{CONFORMANCE}test_forwarded_headers_prove_nothing", f"{ENDPOINT}test_forwarding_headers_prove_nothing"),
    ),
    "B26": Case(
        "a content encoding, whichever form was signed",
        (f"{ENDPOINT}test_another_encoding_or_media_type_is_415", THE_FLOOD),
        "415",
    ),
    "B27": Case(
        "a signed body in chunks",
        (
            f"{WIRE}test_a_delivery_in_chunks_is_taken_as_one_in_whole",
            f"{ENDPOINT}test_a_chunked_body_is_taken_and_capped_alike",
        ),
        "accepted, under the same caps",
    ),
    "B28": Case(
        "other methods on a hook",
        (
            f"{WIRE}test_a_signed_request_of_another_method_changes_nothing",
            f"{ENDPOINT}test_other_methods_are_405_with_allow",
        ),
        "405, but for a handshake",
    ),
    "B29": Case(
        "a shared secret in URL or header, wrong by its first or last byte",
        (
            f"{ENDPOINT}test_a_shared_secret_in_header_or_url_is_compared_whole",
            f"{SIGNING}test_every_offered_token_is_a_secret_and_at_least_one_is_offered",
            "tests/gate/test_battery.py::test_nothing_secret_is_compared_in_a_time_that_tells_where_it_differs",
            f"{SERVE}test_plain_uvicorn_serves_it_too_and_its_access_log_hides_tokens",
        ),
        "401, in constant time, never in a log",
    ),
    "B30": Case(
        "signatures of known mistakes: body before time, a decoded secret, hex",
        (f"{ZENDESK}test_vectors_of_known_mistakes_are_refused",),
    ),
    "B31": Case(
        "a secret that the vendor prints in public",
        (
            f"{ENDPOINT}test_the_public_test_secret_of_zendesk_opens_nothing",
            f"{SETTINGS}test_the_public_test_secret_counts_only_when_asked_for_and_is_warned_of",
        ),
        "401 unless it was asked for",
    ),
    "B32": Case(
        "unsigned headers altered; a body of another account",
        (
            f"{ZENDESK}test_unsigned_headers_prove_and_change_nothing",
            f"{ZENDESK}test_a_body_of_another_account_is_refused",
        ),
        "unsigned headers prove nothing; another account is 401",
    ),
    "B33": Case(
        "a million mutated forgeries (`python -m tests.gate`; here its short form)",
        (THE_FLOOD, f"{FLOOD}test_a_gate_that_takes_old_signatures_is_noticed"),
        "no 5xx, none accepted, memory grows by less than 50 MB",
    ),
    "H1": Case(
        "heads that two servers could read differently: lengths, codings, folds, line ends, hosts",
        (f"{PROTOCOL}test_a_malformed_request_is_refused_and_closed", THE_FLOOD),
        "400 and closed",
    ),
    "H2": Case(
        "headers without end",
        (
            f"{SLOW}test_slow_and_endless_senders_end_in_ten_seconds_and_honest_ones_are_served_meanwhile",
            f"{PROTOCOL}test_endless_headers_are_cut_in_flat_memory",
        ),
        "431 and closed, in flat memory",
    ),
    "H3": Case(
        "heads, bodies, chunks and trailers that drip",
        (
            f"{SLOW}test_slow_and_endless_senders_end_in_ten_seconds_and_honest_ones_are_served_meanwhile",
            f"{PROTOCOL}test_a_dripping_sender_wins_no_time",
        ),
        "closed ten seconds after their first byte",
    ),
    "H4": Case(
        "chunk extensions and trailers without end",
        (f"{PROTOCOL}test_endless_trailers_and_chunk_extensions_are_cut", f"{PROTOCOL}test_trailers_are_not_headers"),
        "400 and closed; a trailer is no header",
    ),
    "H5": Case(
        "a body over the cap, declared or in chunks",
        (
            f"{ENDPOINT}test_a_declared_body_over_the_cap_is_413_before_it_is_read",
            f"{ENDPOINT}test_the_cap_is_exact",
            f"{SERVE}test_huge_bodies_and_floods_of_forgeries_leave_memory_flat",
        ),
        "413, in flat memory",
    ),
    "H6": Case(
        "hundreds of requests sent ahead on one connection",
        (f"{PROTOCOL}test_pipelined_requests_are_answered_in_order_and_bounded",),
        "429 and closed beyond four",
    ),
    "H7": Case(
        "more connections than there is room for",
        (f"{PROTOCOL}test_above_the_connection_limit_the_answer_is_503_with_retry_after",),
        "503 with Retry-After",
    ),
    "H8": Case(
        "a client that does not read",
        (f"{PROTOCOL}test_a_client_that_does_not_read_is_dropped",),
        "dropped",
    ),
    "H9": Case(
        "an upgrade to another protocol",
        (f"{PROTOCOL}test_an_upgrade_is_not_followed",),
        "answered as if it had not asked",
    ),
    "H10": Case(
        "strange paths: control characters, traversal, another case",
        (f"{ENDPOINT}test_an_unknown_connection_is_404", THE_FLOOD),
        "404",
    ),
    "H11": Case(
        "a redirect that costs the sender minutes",
        (f"{ENDPOINT}test_a_trailing_slash_is_forgiven_never_redirected",),
        "never a redirect",
    ),
    "H12": Case(
        "floods of forgeries: figures and log lines",
        (
            THE_FLOOD,
            "tests/ingest/test_tally.py::test_a_thousand_refusals_are_one_call",
            f"{TELEMETRY}test_a_throttle_does_not_grow_with_strangers",
        ),
        "every one counted, few logged, no write to Redis for any; honest ones are served",
    ),
    "H13": Case(
        "a flood while Redis is away",
        ("tests/ingest/test_outage.py::test_forgeries_are_refused_while_redis_is_away",),
    ),
    "P1": Case(
        "JSON deeper than 32 levels",
        (f"{READING}test_thirty_two_levels_are_read", f"{READING}test_a_body_that_cannot_be_read_says_why"),
        "quarantined",
    ),
    "P2": Case(
        "ids that may have lost digits",
        (f"{READING}test_an_id_that_may_have_lost_digits_is_none",),
        "quarantined",
    ),
    "P3": Case(
        "equal keys",
        (f"{READING}test_the_last_of_two_equal_keys_counts",),
        "one parser, one rule: the last counts",
    ),
    "P4": Case(
        "any bytes, any JSON, samples with anything in any place",
        (
            f"{CONFORMANCE}test_any_json_value_is_read_or_kept_aside",
            f"{CONFORMANCE}test_any_sample_with_anything_in_any_place_is_read_or_kept_aside",
            f"{CONFORMANCE}test_any_bytes_are_read_or_kept_aside",
            f"{CONFORMANCE}test_any_sample_with_broken_bytes_is_read_or_kept_aside",
            f"{HOSTILE}test_no_authentic_body_is_lost_or_fails",
        ),
        "read, or kept whole with a reason",
    ),
    "P5": Case(
        "any headers, any query",
        (
            f"{CONFORMANCE}test_no_headers_and_no_query_are_believed_or_crash",
            f"{HOSTILE}test_no_headers_and_no_query_open_the_gate",
            f"{HOSTILE}test_no_change_of_a_proof_goes_through",
            f"{CONFORMANCE}test_no_mutation_of_a_signed_request_is_accepted",
        ),
    ),
    "P6": Case(
        "markup that costs a regular expression minutes",
        (
            f"{READING}test_a_megabyte_of_broken_markup_is_read_in_a_moment",
            f"{ZENDESK}test_a_megabyte_of_almost_a_header_is_read_in_a_moment",
            "tests/sources/test_near_json.py::test_repair_costs_no_more_than_a_bounded_scan",
        ),
        "read in a moment",
    ),
    "P7": Case(
        "forms and bodies of another type",
        (f"{ENDPOINT}test_another_encoding_or_media_type_is_415",),
        "415",
    ),
    "P8": Case(
        "payloads inside Lua",
        ("tests/store/test_scripts.py::test_scripts_never_read_payloads_nor_print_numbers_as_floats",),
        "never parsed there",
    ),
    "P9": Case(
        "a reply of Redis that belongs to a cancelled request",
        ("tests/store/test_cancel.py::test_replies_never_mix_in_a_storm_of_cancels",),
        "its connection is never lent again",
    ),
    "L1": Case("secrets, addresses and payloads in log and answers", (LEAKS, THE_FLOOD), "nowhere"),
    "L2": Case(
        "secrets and addresses in metrics; labels that a stranger makes up",
        (f"{ENDPOINT}test_metrics_count_every_answer_and_carry_only_configured_labels", THE_FLOOD),
        "labels come from the settings",
    ),
    "L3": Case(
        "what a stranger sent, in an answer",
        (
            f"{WIRE}test_what_strangers_send_stands_in_no_answer",
            "tests/ingest/test_problems.py::test_a_refusal_gives_no_detail",
            "tests/ingest/test_problems.py::test_redis_words_stay_inside",
        ),
        "never repeated",
    ),
    "L4": Case(
        "control characters that forge a log line",
        (f"{TELEMETRY}test_control_characters_cannot_forge_a_line", f"{TELEMETRY}test_lengths_are_capped"),
        "escaped, and cut",
    ),
    "L5": Case(
        "secrets in settings as they are printed, in traces, in errors",
        (
            f"{SETTINGS}test_no_secret_stands_in_a_printed_setting",
            f"{TELEMETRY}test_a_trace_is_one_line_without_secrets",
            f"{TELEMETRY}test_what_looks_like_a_secret_is_taken_out_though_nobody_configured_it",
            "tests/cli/test_check.py::test_no_secret_is_ever_printed",
        ),
        "redacted",
    ),
    "L6": Case(
        "people's addresses in what partners say",
        (f"{TELEMETRY}test_no_person_s_address_comes_out",),
        "redacted",
    ),
}
