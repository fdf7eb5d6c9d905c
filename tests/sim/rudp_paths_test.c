/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How long messages take, and how many get through, over simulated paths: 20 ms there and back,
 * loss in both directions, congestion control on. */

#include "tests/sim/rudp_path.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)

static struct path_result result;

static struct path_options lossy(uint64_t seed, double loss, uint64_t ms)
{
    struct path_options options = {.seed = seed, .duration_ns = ms * MS, .flow_count = 1};
    options.forward.delay_ns = options.back.delay_ns = 10 * MS;
    options.forward.loss = options.back.loss = loss;
    return options;
}

/* 1,000 messages a second of 200 bytes. */
static struct path_flow_options steady(enum gy_rudp_guarantee guarantee)
{
    return (struct path_flow_options){
        .congestion = GY_RUDP_BBR, .guarantee = guarantee, .message_bytes = 200, .interval_ns = MS};
}

static const struct path_flow_result *run(const struct path_options *options)
{
    if (path_run(options, &result) != 0) {
        fail_msg("seed %llu: %s", (unsigned long long)options->seed, result.failure);
    }
    return &result.flows[0];
}

static void ordered_within(double loss, uint32_t fec_packets, uint64_t p99_ms)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct path_options options = lossy(seed, loss, 5000);
        options.flows[0] = steady(GY_RUDP_ORDERED);
        options.flows[0].fec_packets = fec_packets;
        const struct path_flow_result *flow = run(&options);
        assert_int_equal(flow->delivered, flow->sent);
        assert_uint_in_range(flow->sent, 4999, 5001);
        assert_uint_in_range(path_quantile(flow, 0.99), 10 * MS, p99_ms * MS);
        path_free(&result);
    }
}

static void ordered_messages_at_1_percent_loss_take_36_ms_at_the_99th_percentile(void **state)
{
    (void)state;
    ordered_within(0.01, 0, 36);
}

static void ordered_messages_at_5_percent_loss_take_58_ms_at_the_99th_percentile(void **state)
{
    (void)state;
    ordered_within(0.05, 0, 58);
}

static void ordered_messages_with_repairs_at_1_percent_loss_take_33_ms(void **state)
{
    (void)state;
    ordered_within(0.01, 5, 33);
}

static void ordered_messages_with_repairs_at_5_percent_loss_take_50_ms(void **state)
{
    (void)state;
    ordered_within(0.05, 5, 50);
}

static void the_median_of_unordered_messages_is_untouched_by_loss(void **state)
{
    (void)state;
    struct path_options options = lossy(1, 0.05, 5000);
    options.flows[0] = steady(GY_RUDP_UNORDERED);
    const struct path_flow_result *flow = run(&options);
    assert_int_equal(flow->delivered, flow->sent);
    assert_true(flow->stats.lost > 150);
    assert_uint_in_range(path_quantile(flow, 0.5), 10 * MS, 10 * MS + MS / 2);
    path_free(&result);
}

static void bbr_floods_a_path_of_5_percent_loss_with_15_mb_a_second(void **state)
{
    (void)state;
    struct path_options options = lossy(2, 0.05, 3000);
    options.flows[0] = (struct path_flow_options){
        .congestion = GY_RUDP_BBR, .guarantee = GY_RUDP_ORDERED, .message_bytes = 1024};
    const struct path_flow_result *flow = run(&options);
    assert_uint_in_range(flow->delivered_bytes, 45000000, 300000000);
    path_free(&result);
}

static void a_message_with_a_deadline_arrives_in_time_or_is_reported_dropped(void **state)
{
    (void)state;
    struct path_options options = lossy(1, 0.05, 5000);
    options.flows[0] = steady(GY_RUDP_UNORDERED);
    options.flows[0].lifetime_ns = 30 * MS;
    const struct path_flow_result *flow = run(&options);
    assert_int_equal(flow->late, 0);
    assert_true(flow->expired > 10);
    assert_true(flow->delivered + flow->expired >= flow->sent);
    /* Those that expired and arrived all the same: sent in time, and not acknowledged in time. */
    assert_true(flow->delivered + flow->expired <= flow->sent + flow->sent / 10);
    path_free(&result);
}

/* Some packets more lost than the path's share, of the few of a beginning, are chance and no sign
 * of congestion: taken for one, they held a connection to a part of its path for seconds, or
 * minutes. */
static void bbr_is_not_held_back_by_an_unlucky_beginning(void **state)
{
    (void)state;
    struct path_options options = lossy(1, 0.05, 2000);
    options.measure_ns = 1000 * MS;
    options.forward.rate = 10000000;
    options.forward.queue_bytes = 200000;
    options.flows[0] = (struct path_flow_options){
        .congestion = GY_RUDP_BBR, .guarantee = GY_RUDP_ORDERED, .message_bytes = 1024};
    const struct path_flow_result *flow = run(&options);
    assert_true(flow->delivered_bytes > 8500000);
    path_free(&result);
}

/* What the receiver cannot keep is not begun: were it sent, refused and sent again, hardly anything
 * would get through. */
static void a_receiver_of_few_places_is_not_sent_more_than_it_can_keep(void **state)
{
    (void)state;
    struct gy_rudp_config config = path_config();
    config.assemblies = 512;
    struct path_options options = lossy(1, 0.05, 3000);
    options.config = &config;
    options.flows[0] = (struct path_flow_options){.congestion = GY_RUDP_BBR,
                                                  .guarantee = GY_RUDP_ORDERED,
                                                  .message_bytes = 1024,
                                                  .channels = 4};
    const struct path_flow_result *flow = run(&options);
    assert_int_equal(flow->received.refused, 0);
    assert_true(flow->delivered_bytes > 3 * 4000000);
    path_free(&result);
}

/* 3 ms at random on each way: packets overtake a hundred others. What was taken for loss left BBR 8
 * MB/s of this path's 60, and ended CUBIC's connection: a number of few bytes, overtaken by so
 * many, was taken for another one. */
static void floods_a_path_of_jitter(enum gy_rudp_congestion_kind congestion, uint32_t packets)
{
    struct gy_rudp_config config = path_config();
    config.packets = packets;
    struct path_options options = lossy(1, 0, 800);
    options.config = &config;
    options.measure_ns = 400 * MS;
    options.forward.jitter_ns = options.back.jitter_ns = 3 * MS;
    options.forward.rate = 60000000;
    options.forward.queue_bytes = 600000;
    options.flows[0] = (struct path_flow_options){
        .congestion = congestion, .guarantee = GY_RUDP_UNORDERED, .message_bytes = 1024};
    const struct path_flow_result *flow = run(&options);
    /* All of the path, or what a ring lets go in a round trip of 26 ms; for 0.4 s. */
    uint64_t rate = packets * UINT64_C(1024) * 1000 / 26;
    rate = rate < 60000000 ? rate : 60000000;
    assert_true(flow->delivered_bytes > rate * 4 / 10 * 8 / 10);
    assert_uint_in_range(flow->stats.spurious, 5, 200); /* and learnt from */
    path_free(&result);
}

static void cubic_floods_a_path_of_3_ms_of_jitter(void **state)
{
    (void)state;
    floods_a_path_of_jitter(GY_RUDP_CUBIC, 4096);
}

/* Acknowledgements of so many packets out of order fill the receiver's ring within a round trip. */
static void bbr_floods_it_too_with_a_ring_that_acknowledgements_fill(void **state)
{
    (void)state;
    floods_a_path_of_jitter(GY_RUDP_BBR, 1024);
}

/* CUBIC would fill the queue: 440 ms. */
static void bbr_uses_a_bottleneck_and_leaves_its_queue_nearly_empty(void **state)
{
    (void)state;
    struct path_options options = lossy(1, 0, 10000);
    options.measure_ns = 2000 * MS;
    options.forward.rate = 2500000;
    options.forward.queue_bytes = 1000000;
    options.flows[0] = (struct path_flow_options){
        .congestion = GY_RUDP_BBR, .guarantee = GY_RUDP_ORDERED, .message_bytes = 1024};
    options.trace_ns = 50 * MS;
    const struct path_flow_result *flow = run(&options);
    uint64_t queued = 0;
    assert_true((double)flow->delivered_bytes > 0.9 * 0.93 * 2500000 * 8);
    assert_true(result.trace_count > 150);
    for (uint32_t i = 100; i < result.trace_count; i++) {
        queued += result.trace[i].srtt_ns > 45 * MS;
    }
    assert_true(queued < result.trace_count / 10);
    path_free(&result);
}

/* 2.5 MB/s, 40 ms, a queue of half of that product. */
static struct path_options shared(uint64_t seed)
{
    struct path_options options = {
        .seed = seed, .duration_ns = 120000 * MS, .measure_ns = 20000 * MS, .flow_count = 2};
    options.forward.delay_ns = options.back.delay_ns = 20 * MS;
    options.forward.jitter_ns = 300000;
    options.forward.rate = 2500000;
    options.forward.queue_bytes = 50000;
    options.flows[0] = (struct path_flow_options){.congestion = GY_RUDP_CUBIC,
                                                  .guarantee = GY_RUDP_ORDERED,
                                                  .message_bytes = 1024,
                                                  .channels = 4};
    options.flows[1] = options.flows[0];
    options.flows[1].start_ns = seed * 100 * MS;
    return options;
}

static double share_of_first(const struct path_options *options)
{
    run(options);
    double first = (double)result.flows[0].delivered_bytes;
    double second = (double)result.flows[1].delivered_bytes;
    path_free(&result);
    assert_true(first + second > 0.85 * 2500000 * 100);
    return 2 * first / (first + second);
}

static void two_cubic_flows_share_a_bottleneck_within_10_percent(void **state)
{
    (void)state;
    struct path_options options = shared(1);
    double share = share_of_first(&options);
    assert_true(share > 0.9 && share < 1.1);
}

static void a_cubic_flow_takes_at_most_1_25_of_its_share_beside_tcp(void **state)
{
    (void)state;
    struct path_options options = shared(1);
    options.flows[1].tcp = true;
    double share = share_of_first(&options);
    assert_true(share > 0.75 && share < 1.25);
}

static void the_same_seed_gives_the_same_figures(void **state)
{
    (void)state;
    struct path_options options = lossy(7, 0.05, 1000);
    options.flows[0] = steady(GY_RUDP_ORDERED);
    const struct path_flow_result *flow = run(&options);
    uint64_t p99_ns = path_quantile(flow, 0.99), lost = flow->stats.lost;
    path_free(&result);
    flow = run(&options);
    assert_int_equal(path_quantile(flow, 0.99), p99_ns);
    assert_int_equal(flow->stats.lost, lost);
    path_free(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordered_messages_at_1_percent_loss_take_36_ms_at_the_99th_percentile),
        cmocka_unit_test(ordered_messages_at_5_percent_loss_take_58_ms_at_the_99th_percentile),
        cmocka_unit_test(ordered_messages_with_repairs_at_1_percent_loss_take_33_ms),
        cmocka_unit_test(ordered_messages_with_repairs_at_5_percent_loss_take_50_ms),
        cmocka_unit_test(the_median_of_unordered_messages_is_untouched_by_loss),
        cmocka_unit_test(bbr_floods_a_path_of_5_percent_loss_with_15_mb_a_second),
        cmocka_unit_test(bbr_is_not_held_back_by_an_unlucky_beginning),
        cmocka_unit_test(a_receiver_of_few_places_is_not_sent_more_than_it_can_keep),
        cmocka_unit_test(cubic_floods_a_path_of_3_ms_of_jitter),
        cmocka_unit_test(bbr_floods_it_too_with_a_ring_that_acknowledgements_fill),
        cmocka_unit_test(bbr_uses_a_bottleneck_and_leaves_its_queue_nearly_empty),
        cmocka_unit_test(a_message_with_a_deadline_arrives_in_time_or_is_reported_dropped),
        cmocka_unit_test(two_cubic_flows_share_a_bottleneck_within_10_percent),
        cmocka_unit_test(a_cubic_flow_takes_at_most_1_25_of_its_share_beside_tcp),
        cmocka_unit_test(the_same_seed_gives_the_same_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
