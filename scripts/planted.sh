#!/usr/bin/env bash
# Tests the tests: plants each bug of src/failpoints.rs, one at a time, and runs the test that must catch it. The script
# fails if a test does not catch its bug, or fails without a bug.
set -euo pipefail
cd "$(dirname "$0")/.."

# bug, program (a file or folder of tests/), test
bugs='
AckBeforeCommit          faults           a_fault_at_any_call_of_the_file_layer_loses_nothing_that_was_acknowledged
SynchronousOff           power            with_full_a_power_loss_takes_nothing_that_was_acknowledged
ExpiryInclusive          engine_rules     a_reservation_is_valid_until_the_last_millisecond_before_its_expiry
KeyOutsideTransaction    writer           an_ordered_end_decides_what_it_has_and_a_new_start_goes_on
PublishBeforeCommit      stale_reads      nothing_is_published_before_it_is_committed
EtagFromAtomic           stale_reads      a_body_rendered_around_a_commit_never_outlives_its_version
FaultIsNotApplied        faults           a_commit_whose_fsync_failed_is_unknown_and_has_happened_after_all
GoOnAfterFault           faults           a_fault_at_any_call_of_the_file_layer_loses_nothing_that_was_acknowledged
NoWatermark              damage           a_file_that_was_cut_anywhere_is_noticed
FullKeepsMemory          faults           a_disk_that_fills_and_frees_twenty_times_sells_exactly_what_it_said
NeverTooOld              writer           a_buyers_command_that_waited_too_long_is_not_decided_and_an_operators_is
LeaverCancels            writer           a_client_that_leaves_takes_nothing_with_it
OneTooMany               engine_rules     all_units_or_none
LastOwnerGoes            server           console::an_owner_makes_a_token_once_and_revokes_all_but_the_last_owners
ViewerMay                server           console::a_role_reads_what_it_may_and_a_token_that_is_revoked_ends_its_stream
SecretSettingShown       server           console::no_secret_of_the_settings_is_in_any_answer
RiskBeforeOperator       server           buyer_tiers::a_tier_of_an_operator_wins_over_the_risk_score_which_stays_in_sight
TierForgotten            server           buyer_tiers::tiers_survive_a_restart_and_the_audit_tells_them_without_the_buyers_name
PositionsChangeAtRestart server           rooms::tickets_and_positions_survive_a_restart_and_the_audit_tells_no_buyer
BlindByArrival           blind_rules      recorded_orders_are_decided_in_the_order_of_the_draw_and_not_of_their_arrival
StandstillCountsAsTime   faults           a_standstill_is_no_time_to_pay_for_a_unit_that_comes_back_in_it
StandbyPassedOver        standby_rules    units_come_back_by_expiry_cancellation_refund_and_added_stock
StandbyAfterNewBuyer     standby_rules    a_unit_that_comes_back_is_the_first_in_lines_before_any_new_buyer_is_decided
OrdersWithoutAdmission   server           ladder::a_crowd_in_a_room_takes_every_unit_and_nobody_is_served_out_of_order
ServingGoesBack          server           rooms::buyers_are_admitted_in_their_order_as_stock_allows_and_others_are_refused
PauseTakesTurns          room_rules       turns::a_turn_stands_still_while_the_drop_is_paused
RestoredDrawsAgain       server           draw_restored::a_backup_that_is_put_back_after_the_draw_draws_again_only_if_an_operator_resumes_the_drop
SeedToldEarly            server           draws::a_seed_is_in_no_log_capture_metric_or_answer_before_the_draw
BeaconReplaced           draw_rules       a_beacon_is_taken_once_after_the_tickets_are_fixed_and_in_its_time
OrdersWithoutAdmission   room_rules       an_admitted_buyer_has_the_time_to_order_and_then_makes_room
ShardIgnored             engine_model     the_engine_agrees_with_a_naive_second_implementation
RefundRestocksAll        engine_model     the_engine_agrees_with_a_naive_second_implementation
InboxNotAsked            payment_shuffles providers_may_say_anything_in_any_order_any_number_of_times
CapCountsOrders          engine_model     the_engine_agrees_with_a_naive_second_implementation
ExpiredKeepsIdentity     identity_rules   units_that_come_back_are_given_back_to_their_identities_exactly_once
VerifySkipsCaps          server           identity_caps::verify_finds_an_altered_identity_and_units_above_a_cap
LateBeatsLimit           payment_rules    paying_late_never_beats_a_limit_nor_the_drops_end_nor_a_mismatch
MoneyForNothing          payment_shuffles providers_may_say_anything_in_any_order_any_number_of_times
SellsWithoutFile         server           lost_files::a_database_that_is_lost_replaced_or_cut_under_load_is_noticed_and_kept
EndsWithoutCopy          server           lost_files::a_server_that_has_no_place_for_a_copy_waits_until_there_is_one
NoteByInodeOnly          server           operators_files::a_backup_that_is_copied_into_the_files_that_lie_there_begins_a_new_epoch
SwapsStaleRebuilt        rebuild_kill     a_rebuilt_file_never_takes_the_place_of_files_that_have_moved_on
AlteredBody              hostile          pipelined::two_valid_requests_get_the_same_answers_wherever_their_bytes_are_cut
ClockByLastEvent         server           clocks::a_right_clock_starts_after_any_stop_and_a_wrong_one_never_ends_anything
EarlyRefundForgotten     payment_orders   every_order_of_a_payments_events_has_the_same_end
DrawByArrival            draw             arrival_and_position_are_uncorrelated_and_positions_are_uniform
UnitsCountedTwice        store_model      what_is_loaded_from_the_file_is_what_the_engine_has_in_memory
UnitsLeaveTotal          store_model      what_is_loaded_from_the_file_is_what_the_engine_has_in_memory
UnknownIsNotApplied      log_simulated    whatever_happens_to_nodes_and_network_there_is_one_history_and_every_answer_is_true
LeaseNotChecked          log_simulated    a_leader_whose_lease_is_not_kept_decides_nothing_after_it
OneMemberBelieved        log_simulated    whatever_happens_to_nodes_and_network_there_is_one_history_and_every_answer_is_true
LinkNotCompared          log_simulated    whatever_happens_to_nodes_and_network_there_is_one_history_and_every_answer_is_true
HeadNotCompared          log_simulated    whatever_happens_to_nodes_and_network_there_is_one_history_and_every_answer_is_true
ReplyBeforeAppend        log_simulated    whatever_happens_to_nodes_and_network_there_is_one_history_and_every_answer_is_true
AppendsUnrecorded        replicated       a_batch_that_breaks_a_rule_of_the_tables_is_in_no_log
StoppedNodeServes        server           node_reads::a_node_that_must_not_serve_answers_nothing_but_that
AsOfAfterRead            server           node_reads::what_is_read_is_never_older_than_the_state_that_the_answer_names
FreshWithoutLease        server           node_reads::every_read_of_a_node_says_of_which_state_it_is_and_none_of_a_single_machine_does
RouterBelievesFile       route_shards     a_router_whose_file_swaps_two_shards_answers_neither_until_it_has_the_right_file
RouterRepeatsUnknown     server           route::a_write_of_unknown_outcome_is_sent_again_only_if_a_repeat_has_no_second_effect
UsedChallengePasses      server           challenges::of_two_orders_with_one_solution_at_once_exactly_one_passes
FailsOpen                server           challenges::while_the_service_does_not_answer_orders_are_refused_and_the_sale_goes_on
ScoreNeverDecays         server           risk::a_suspicion_ends_when_its_signals_have_decayed
WinnerLosesToo           server           mail_auctions::the_winner_is_told_at_the_award_with_the_link_and_the_next_bidder_when_the_unit_is_offered
MailIdPerAttempt         server           mail::a_mail_whose_outcome_is_unknown_is_sent_again_with_the_same_message_id
FormForgetsKey           pages            refusals::an_unknown_outcome_is_asked_for_again_with_the_same_key_and_there_is_one_order
RefundKeyPerAttempt      server           provider_refunds::a_refund_whose_answers_are_lost_late_or_errors_is_made_once
BackupForgetsWritten     live_copy        a_copy_beside_a_writer_that_checkpoints_all_the_time_is_one_of_its_states
ReturnsNotCounted        server           explain::each_reason_of_a_refused_order_is_decided_again_on_the_state_it_saw
CampusByAddress          server           risk::a_campus_behind_one_address_with_its_own_user_agents_raises_nothing_and_a_farm_with_one_does
'

# Every bug in the code has a line above.
for bug in $(sed -n '/^pub enum Bug/,/^}/s/^    \([A-Z][A-Za-z]*\),$/\1/p' src/failpoints.rs); do
    grep -q "^$bug " <<<"$bugs" || {
        echo "$bug of src/failpoints.rs has no test in scripts/planted.sh" >&2
        exit 1
    }
done

programs=$(awk 'NF { print $2 }' <<<"$bugs" | sort -u)
arguments=()
for program in $programs; do arguments+=(--test "$program"); done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The programs of the tests, as `NAME PATH`: run without cargo, which takes longer to start than most of these tests.
cargo test --locked --quiet --features failpoints,otlp,cluster --no-run --message-format=json "${arguments[@]}" |
    sed -n 's/.*"target":{"kind":\["test"\],[^}]*"name":"\([^"]*\)".*"executable":"\([^"]*\)".*/\1 \2/p' >"$scratch/programs"

# One bug, with its test: prints a line, and fails unless it is as it must be. Two run at a time: tests wait for disks, clocks
# and processes.
check() { # bug (none: the test passes), program, test
    local program output=$scratch/$1-$2-${3//:/-}
    program=$(sed -n "s/^$2 //p" "$scratch/programs")
    local code=0
    FIRSTCOME_PLANTED=$1 RUST_BACKTRACE=0 timeout 120 "$program" --exact "$3" >"$output" 2>&1 || code=$?
    if [ "$1" = none ]; then
        if [ $code = 0 ] && grep -q '1 passed' "$output"; then return; fi
        echo "$2::$3 fails without any bug, or does not exist:"
        tail -n 20 "$output"
        return 1
    fi
    if [ $code = 0 ]; then
        echo "NOT CAUGHT: $1 by $2::$3"
        return 1
    fi
    echo "caught: $1 by $2::$3"
}
export -f check
export scratch

{
    awk 'NF { print "none", $2, $3 }' <<<"$bugs" | sort -u
    awk 'NF { print $1, $2, $3 }' <<<"$bugs"
} | xargs -P 2 -L 1 bash -c 'check "$@"' check || {
    echo "see above: NOT CAUGHT, or fails without any bug" >&2
    exit 1
}
