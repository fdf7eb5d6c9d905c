/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Answers of unsigned zones: what RFCs say, and what must never happen. */

#include "tests/dns/probe.h"

static struct rig_zone zone;
static struct rig rig;

static void serve(const char *origin, const char *text)
{
    rig_zone_load(&zone, origin, text, strlen(text), 0);
    assert_string_equal(zone.error.message, "");
    rig_init(&rig, 4);
    rig_add(&rig, &zone);
}

static int shut(void **state)
{
    (void)state;
    rig_free(&rig);
    rig_zone_free(&zone);
    return 0;
}

static void expect(const char *name, uint16_t type, unsigned flags, const char *text)
{
    rig_ask(&rig, name, type, flags);
    assert_int_equal(rig.query.outcome, GY_DNS_ANSWERED);
    assert_string_equal(rig_text(rig.answer, rig.query.answer_bytes), text);
}

/* RFC 4592 §2.2.1 */
static const char wildcards[] =
    "$ORIGIN example.\n$TTL 3600\n"
    "example.                 3600 IN  SOA   ns.example.com. h.example.com. 1 3600 300 86400 60\n"
    "example.                 3600     NS    ns.example.com.\n"
    "example.                 3600     NS    ns.example.net.\n"
    "*.example.               3600     TXT   \"this is a wildcard\"\n"
    "*.example.               3600     MX    10 host1.example.\n"
    "sub.*.example.           3600     TXT   \"this is not a wildcard\"\n"
    "host1.example.           3600     A     192.0.2.1\n"
    "_ssh._tcp.host1.example. 3600     SRV   0 0 22 host1\n"
    "_ssh._tcp.host2.example. 3600     SRV   0 0 22 host1\n"
    "subdel.example.          3600     NS    ns.example.com.\n"
    "subdel.example.          3600     NS    ns.example.net.\n";

#define SOA4592 "! example. SOA ns.example.com. h.example.com. 1 3600 300 86400 60\n"

static void wildcards_of_rfc_4592(void **state)
{
    (void)state;
    serve("example.", wildcards);
    /* Synthesized from a wildcard. */
    expect("host3.example.", GY_DNS_TYPE_MX, 0,
           "NOERROR aa\n? host3.example. MX\n= host3.example. MX 10 host1.example.\n"
           "+ host1.example. A 192.0.2.1\n");
    expect("host3.example.", GY_DNS_TYPE_A, 0, "NOERROR aa\n? host3.example. A\n" SOA4592);
    expect("foo.bar.example.", GY_DNS_TYPE_TXT, 0,
           "NOERROR aa\n? foo.bar.example. TXT\n= foo.bar.example. TXT \"this is a wildcard\"\n");
    /* Not synthesized: the name exists. */
    expect("host1.example.", GY_DNS_TYPE_MX, 0, "NOERROR aa\n? host1.example. MX\n" SOA4592);
    expect("sub.*.example.", GY_DNS_TYPE_MX, 0, "NOERROR aa\n? sub.*.example. MX\n" SOA4592);
    /* _tcp.host1.example. exists, and has no wildcard below it. */
    expect("_telnet._tcp.host1.example.", GY_DNS_TYPE_SRV, 0,
           "NXDOMAIN aa\n? _telnet._tcp.host1.example. SRV\n" SOA4592);
    expect("host.subdel.example.", GY_DNS_TYPE_A, 0,
           "NOERROR\n? host.subdel.example. A\n! subdel.example. NS ns.example.com.\n"
           "! subdel.example. NS ns.example.net.\n");
    /* *.example. is the closest encloser, and has no wildcard below it. */
    expect("ghost.*.example.", GY_DNS_TYPE_MX, 0, "NXDOMAIN aa\n? ghost.*.example. MX\n" SOA4592);
    /* An empty non-terminal is no wildcard's (§2.2.2). */
    expect("_tcp.host2.example.", GY_DNS_TYPE_TXT, 0,
           "NOERROR aa\n? _tcp.host2.example. TXT\n" SOA4592);
    /* Asked for by its own name, it is a name as any. */
    expect("*.example.", GY_DNS_TYPE_TXT, 0,
           "NOERROR aa\n? *.example. TXT\n= *.example. TXT \"this is a wildcard\"\n");
}

static const char aliases[] =
    "$ORIGIN example.\n$TTL 1h\n@ SOA ns h 1 1h 5m 1w 1m\n@ NS ns\nns A 192.0.2.1\n"
    "www CNAME web\nweb A 192.0.2.2\nweb AAAA 2001:db8::2\nout CNAME www.example.net.\n"
    "a CNAME b\nb CNAME a\nself CNAME self\nlost CNAME nowhere\n"
    "down CNAME x.cut\ncut NS ns.cut\nns.cut A 192.0.2.3\n"
    "d DNAME target\nx.target A 192.0.2.4\ne DNAME d\nfar DNAME example.net.\nloop DNAME "
    "loop2.loop\n"
    "*.w CNAME web\nmail MX 5 web\nmail MX 6 mail.example.net.\n";

#define SOA_ALIASES "! example. SOA ns.example. h.example. 1 3600 300 604800 60\n"

static void aliases_are_followed_within_the_zone(void **state)
{
    (void)state;
    serve("example.", aliases);
    expect("www.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? www.example. A\n= www.example. CNAME web.example.\n"
           "= web.example. A 192.0.2.2\n");
    expect("www.example.", GY_DNS_TYPE_CNAME, 0,
           "NOERROR aa\n? www.example. CNAME\n= www.example. CNAME web.example.\n");
    expect("out.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? out.example. A\n= out.example. CNAME www.example.net.\n");
    expect("www.example.", GY_DNS_TYPE_TXT, 0,
           "NOERROR aa\n? www.example. TXT\n= www.example. CNAME web.example.\n" SOA_ALIASES);
    /* The code is that of the last name (RFC 6604 §3). */
    expect("lost.example.", GY_DNS_TYPE_A, 0,
           "NXDOMAIN aa\n? lost.example. A\n= lost.example. CNAME nowhere.example.\n" SOA_ALIASES);
    expect("down.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? down.example. A\n= down.example. CNAME x.cut.example.\n"
           "! cut.example. NS ns.cut.example.\n+ ns.cut.example. A 192.0.2.3\n");
    expect("q.w.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? q.w.example. A\n= q.w.example. CNAME web.example.\n"
           "= web.example. A 192.0.2.2\n");
}

static void ds_without_a_signature_is_not_in_a_referral(void **state)
{
    (void)state;
    static const char text[] = "$TTL 1h\n@ SOA ns h 1 1h 5m 1w 1m\n@ NS ns\nns A 192.0.2.1\n"
                               "cut NS ns\ncut DS 1 13 2 00\n";
    serve("example.", text);
    expect("x.cut.example.", GY_DNS_TYPE_A, RIG_EDNS | RIG_DO,
           "NOERROR\n? x.cut.example. A\n! cut.example. NS ns.example.\n"
           "+ ns.example. A 192.0.2.1\n+ OPT\n");
}

static void circles_of_aliases_end(void **state)
{
    (void)state;
    serve("example.", aliases);
    expect("a.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? a.example. A\n= a.example. CNAME b.example.\n"
           "= b.example. CNAME a.example.\n");
    expect("self.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? self.example. A\n= self.example. CNAME self.example.\n");
    expect("x.loop.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? x.loop.example. A\n= loop.example. DNAME loop2.loop.example.\n"
           "= x.loop.example. CNAME x.loop2.loop.example.\n");
}

static void dnames_make_cnames(void **state)
{
    (void)state;
    serve("example.", aliases);
    expect("X.d.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? X.d.example. A\n= d.example. DNAME target.example.\n"
           "= X.d.example. CNAME X.target.example.\n= X.target.example. A 192.0.2.4\n");
    expect("x.e.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? x.e.example. A\n= e.example. DNAME d.example.\n"
           "= x.e.example. CNAME x.d.example.\n= d.example. DNAME target.example.\n"
           "= x.d.example. CNAME x.target.example.\n= x.target.example. A 192.0.2.4\n");
    expect("x.far.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? x.far.example. A\n= far.example. DNAME example.net.\n"
           "= x.far.example. CNAME x.example.net.\n");
    /* Asked for the alias itself: it is the answer, as any CNAME is (RFC 1034 §4.3.2 3a). */
    expect("X.d.example.", GY_DNS_TYPE_CNAME, 0,
           "NOERROR aa\n? X.d.example. CNAME\n= d.example. DNAME target.example.\n"
           "= X.d.example. CNAME X.target.example.\n");
    expect("lost.d.example.", GY_DNS_TYPE_ANY, 0,
           "NOERROR aa\n? lost.d.example. ANY\n= d.example. DNAME target.example.\n"
           "= lost.d.example. CNAME lost.target.example.\n");
    /* The name itself is not redirected (RFC 6672 §2.3). */
    expect("d.example.", GY_DNS_TYPE_A, 0, "NOERROR aa\n? d.example. A\n" SOA_ALIASES);
}

static void a_name_too_long_for_its_dname_is_yxdomain(void **state)
{
    char text[1024], name[300];
    (void)state;
    memset(name, 'x', sizeof name);
    for (int i = 0; i < 3; i++) {
        name[(i + 1) * 61 - 1] = '.';
    }
    snprintf(name + 3 * 61, sizeof name - 3 * 61, "d.example.");
    snprintf(text, sizeof text,
             "$TTL 1h\n@ SOA ns h 1 1 1 1 1\n@ NS ns.\nd DNAME "
             "%.63s.%.63s.example.\n",
             "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
             "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
    serve("example.", text);
    rig_ask(&rig, name, GY_DNS_TYPE_A, 0);
    assert_int_equal(rig.query.rcode, GY_DNS_RCODE_YXDOMAIN);
}

static void long_chains_are_cut_short(void **state)
{
    char text[8192];
    int length = snprintf(text, sizeof text, "$TTL 1h\n@ SOA ns h 1 1 1 1 1\n@ NS ns.\n");
    (void)state;
    for (int i = 0; i < 100; i++) {
        length +=
            snprintf(text + length, sizeof text - (size_t)length, "c%d CNAME c%d\n", i, i + 1);
    }
    serve("example.", text);
    rig_ask(&rig, "c0.example.", GY_DNS_TYPE_A, RIG_TCP);
    assert_int_equal(rig.query.rcode, 0);
    assert_int_equal(rig.answer[7], GY_DNS_CHAIN_MAX);
    assert_false(rig.query.truncated);
}

static void additional_addresses_follow(void **state)
{
    (void)state;
    serve("example.", aliases);
    expect("mail.example.", GY_DNS_TYPE_MX, 0,
           "NOERROR aa\n? mail.example. MX\n= mail.example. MX 5 web.example.\n"
           "= mail.example. MX 6 mail.example.net.\n+ web.example. A 192.0.2.2\n"
           "+ web.example. AAAA 2001:db8::2\n");
}

static void any_is_one_rrset(void **state)
{
    (void)state;
    serve("example.", aliases);
    expect("web.example.", GY_DNS_TYPE_ANY, 0,
           "NOERROR aa\n? web.example. ANY\n= web.example. A 192.0.2.2\n");
    expect("www.example.", GY_DNS_TYPE_ANY, 0,
           "NOERROR aa\n? www.example. ANY\n= www.example. CNAME web.example.\n");
}

static void names_match_in_any_case_and_come_back_as_asked(void **state)
{
    (void)state;
    serve("example.", aliases);
    expect("wEb.ExAmPlE.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? wEb.ExAmPlE. A\n= wEb.ExAmPlE. A 192.0.2.2\n");
}

static void negative_answers_live_as_long_as_the_minimum_says(void **state)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    (void)state;
    serve("example.", aliases);
    rig_ask(&rig, "nowhere.example.", GY_DNS_TYPE_A, 0);
    gy_dns_message_open(&message, rig.answer, rig.query.answer_bytes);
    assert_int_equal(gy_dns_message_next(&message, &record), 1);
    assert_int_equal(gy_dns_message_next(&message, &record), 1);
    assert_int_equal(record.type, GY_DNS_TYPE_SOA);
    assert_int_equal(record.ttl, 60); /* RFC 2308 §3; its own is 3600 */
}

static void what_is_not_ours_is_refused_in_no_more_bytes(void **state)
{
    (void)state;
    serve("example.", aliases);
    expect("example.net.", GY_DNS_TYPE_A, 0, "REFUSED\n? example.net. A\n");
    assert_int_equal(rig.query.answer_bytes, rig.query.bytes);
    expect("example.net.", GY_DNS_TYPE_A, RIG_EDNS, "REFUSED\n? example.net. A\n+ OPT\n");
    assert_int_equal(rig.query.answer_bytes, rig.query.bytes);
}

static void the_longest_zone_answers(void **state)
{
    static struct rig_zone child;
    (void)state;
    serve("example.", aliases);
    const char text[] = "$TTL 1h\n@ SOA ns h 2 1 1 1 1\n@ NS ns\nns A 192.0.2.3\nx A 192.0.2.99\n";
    rig_zone_load(&child, "cut.example.", text, strlen(text), 0);
    rig_add(&rig, &child);
    expect("x.cut.example.", GY_DNS_TYPE_A, 0,
           "NOERROR aa\n? x.cut.example. A\n= x.cut.example. A 192.0.2.99\n");
    /* DS is the parent's to answer. */
    expect("cut.example.", GY_DNS_TYPE_DS, 0, "NOERROR aa\n? cut.example. DS\n" SOA_ALIASES);
    assert_int_equal(gy_dns_zones_add(&rig.zones, child.zone), GY_EINVAL);
    rig_zone_free(&child);
}

static void the_root_is_a_zone_too(void **state)
{
    (void)state;
    serve(".", "$TTL 1h\n. SOA a.root. h. 1 1 1 1 1\n. NS a.root.\na.root. A 192.0.2.1\n"
               "com. NS ns.com.\nns.com. A 192.0.2.2\n");
    expect("www.x.com.", GY_DNS_TYPE_A, 0,
           "NOERROR\n? www.x.com. A\n! com. NS ns.com.\n+ ns.com. A 192.0.2.2\n");
    expect(".", GY_DNS_TYPE_NS, 0, "NOERROR aa\n? . NS\n= . NS a.root.\n+ a.root. A 192.0.2.1\n");
    expect("nowhere.", GY_DNS_TYPE_A, 0,
           "NXDOMAIN aa\n? nowhere. A\n! . SOA a.root. h. 1 1 1 1 1\n");
}

static void what_does_not_fit_is_left_to_tcp(void **state)
{
    char text[8192];
    int length = snprintf(text, sizeof text, "$TTL 1h\n@ SOA ns h 1 1 1 1 1\n@ NS ns.\n");
    (void)state;
    for (int i = 0; i < 80; i++) {
        length += snprintf(text + length, sizeof text - (size_t)length, "big A 10.0.0.%d\n", i);
    }
    serve("example.", text);
    expect("big.example.", GY_DNS_TYPE_A, 0, "NOERROR aa tc\n? big.example. A\n");
    expect("big.example.", GY_DNS_TYPE_A, RIG_EDNS, "NOERROR aa tc\n? big.example. A\n+ OPT\n");
    rig_ask(&rig, "big.example.", GY_DNS_TYPE_A, RIG_TCP);
    assert_false(rig.query.truncated);
    assert_int_equal(rig.answer[7], 80);
    rig.settings.udp_bytes = 4096;
    rig_ask(&rig, "big.example.", GY_DNS_TYPE_A, RIG_EDNS);
    assert_false(rig.query.truncated);
}

/* Names at more than 16,383 bytes of a message cannot be pointed at (RFC 1035 §4.1.4). */
static void answers_beyond_the_reach_of_pointers_are_well_formed(void **state)
{
    char *text = malloc(200000);
    int length = sprintf(text, "$TTL 1h\n@ SOA ns h 1 1 1 1 1\n@ NS ns.\n");
    (void)state;
    for (int i = 0; i < 700; i++) {
        length += sprintf(text + length, "big MX %d host-number-%d.example.net.\n", i, i);
    }
    for (int i = 0; i < 20; i++) {
        length += sprintf(text + length, "big MX 1000 in%d\nin%d A 10.0.0.%d\nin%d AAAA ::%d\n", i,
                          i, i, i, i);
    }
    sprintf(text + length, "far CNAME big\n");
    serve("example.", text);
    rig_ask(&rig, "far.example.", GY_DNS_TYPE_MX, RIG_TCP);
    assert_true(rig.query.answer_bytes > 20000);
    assert_false(rig.query.truncated);
    const char *answer = rig_text(rig.answer, rig.query.answer_bytes);
    assert_non_null(strstr(answer, "= big.example. MX 1000 in19.example.\n"));
    assert_non_null(strstr(answer, "+ in0.example. A 10.0.0.0\n"));
    assert_non_null(strstr(answer, "+ in11.example. AAAA ::"));
    free(text);
}

static void glue_that_does_not_fit_sets_tc(void **state)
{
    char text[8192];
    int length = snprintf(text, sizeof text, "$TTL 1h\n@ SOA ns h 1 1 1 1 1\n@ NS ns.\n");
    (void)state;
    for (int i = 0; i < 13; i++) {
        length +=
            snprintf(text + length, sizeof text - (size_t)length,
                     "cut NS ns%d.cut\nns%d.cut A 10.0.0.%d\nns%d.cut AAAA ::%d\n", i, i, i, i, i);
    }
    serve("example.", text);
    rig_ask(&rig, "x.cut.example.", GY_DNS_TYPE_A, 0);
    assert_true(rig.query.truncated); /* RFC 9471 §3.1 */
    assert_true(rig.query.answer_bytes <= 512);
    rig_ask(&rig, "x.cut.example.", GY_DNS_TYPE_A, RIG_EDNS);
    assert_false(rig.query.truncated);
}

/* The bytes of a message, its length, and what must come of it. */
static void raw(const char *bytes, size_t length, int outcome, int rcode)
{
    uint8_t *message = exact(bytes, length);
    rig.query = (struct gy_dns_query){
        .message = message, .bytes = (uint32_t)length, .answer = rig.answer, .room = 512};
    gy_dns_answer(rig.answerer, &rig.query, 1);
    assert_int_equal(rig.query.outcome, outcome);
    if (outcome != GY_DNS_DROPPED) {
        assert_int_equal(rig.query.rcode, rcode);
        assert_true(rig.query.answer_bytes >= 12);
        assert_int_equal(rig.answer[2] >> 7, 1);
        if (rcode != 0) {
            assert_true(rig.query.answer_bytes <= length);
        }
        rig_text(rig.answer, rig.query.answer_bytes);
    } else {
        assert_int_equal(rig.query.answer_bytes, 0);
    }
    free(message);
}

#define RAW(bytes, outcome, rcode) raw(bytes, sizeof bytes - 1, outcome, rcode)

static void hostile_messages_get_their_error_or_nothing(void **state)
{
    (void)state;
    serve("example.", aliases);
    RAW("", GY_DNS_DROPPED, 0);
    RAW("\0\1\0\0\0\1\0\0\0\0\0", GY_DNS_DROPPED, 0);
    /* A response is never answered. */
    RAW("\0\1\x80\0\0\1\0\0\0\0\0\0\3web\7example\0\0\1\0\1", GY_DNS_DROPPED, 0);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\3web\7example\0\0\1\0\1", GY_DNS_ANSWERED, 0);
    /* No question; two; a compressed one; one cut short; a label of a type that is none. */
    RAW("\0\1\0\0\0\0\0\0\0\0\0\0", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\2\0\0\0\0\0\0\0\0\1\0\1\0\0\1\0\1", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\3we", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\x41"
        "a\0\0\1\0\1",
        GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    /* Counts that lie, bytes left over, two OPTs, an OPT with a name, options cut short. */
    RAW("\0\1\0\0\0\1\0\0\0\0\xff\xff\0\0\1\0\1", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\0\0\1\0\1x", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\2\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\0\0\0\x29\4\xd0\0\0\0\0\0\0",
        GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\1\0\0\1\0\1\1x\0\0\x29\4\xd0\0\0\0\0\0\0", GY_DNS_ANSWERED,
        GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\3\0\3\0", GY_DNS_ANSWERED,
        GY_DNS_RCODE_FORMERR);
    /* A version of EDNS to come; other opcodes; another class; types that are none. */
    RAW("\0\1\0\0\0\1\0\0\0\0\0\1\7example\0\0\1\0\1\0\0\x29\4\xd0\0\1\0\0\0\0", GY_DNS_ANSWERED,
        GY_DNS_RCODE_BADVERS);
    RAW("\0\1\x10\0\0\1\0\0\0\0\0\0\7example\0\0\1\0\1", GY_DNS_ANSWERED, GY_DNS_RCODE_NOTIMP);
    RAW("\0\1\x20\0\0\1\0\0\0\0\0\0\7example\0\0\6\0\1", GY_DNS_NOTIFIED, GY_DNS_RCODE_NOTIMP);
    assert_ptr_equal(rig.query.zone, zone.zone);
    RAW("\0\1\x28\0\0\1\0\0\0\0\0\0\7example\0\0\6\0\1", GY_DNS_UPDATING, GY_DNS_RCODE_NOTIMP);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\7version\4bind\0\0\x10\0\3", GY_DNS_ANSWERED,
        GY_DNS_RCODE_REFUSED);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\7example\0\0\x29\0\1", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\7example\0\0\0\0\1", GY_DNS_ANSWERED, GY_DNS_RCODE_FORMERR);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\7example\0\0\xfc\0\1", GY_DNS_TRANSFER, GY_DNS_RCODE_REFUSED);
    RAW("\0\1\0\0\0\1\0\0\0\0\0\0\3web\7example\0\0\xfc\0\1", GY_DNS_TRANSFER,
        GY_DNS_RCODE_NOTAUTH);
}

static void ixfr_over_udp_is_told_the_soa(void **state)
{
    (void)state;
    serve("example.", aliases);
    rig_ask(&rig, "example.", GY_DNS_TYPE_IXFR, 0);
    assert_int_equal(rig.query.outcome, GY_DNS_TRANSFER);
    assert_string_equal(rig_text(rig.answer, rig.query.answer_bytes),
                        "NOERROR aa\n? example. IXFR\n= example. SOA ns.example. h.example. 1 "
                        "3600 300 604800 60\n");
}

static void cookies_are_answered_and_known_again(void **state)
{
    static const char asked[] = "\0\1\0\0\0\1\0\0\0\0\0\1\3web\7example\0\0\1\0\1\0\0\x29\4\xd0\0\0"
                                "\0\0\0\x0c\0\x0a\0\x08"
                                "ABCDEFGH";
    uint8_t message[128];
    struct gy_dns_query query = {.message = message,
                                 .bytes = sizeof asked - 1,
                                 .answer = rig.answer,
                                 .room = 512,
                                 .now = 5000,
                                 .address_bytes = 4,
                                 .address = {192, 0, 2, 1}};
    (void)state;
    serve("example.", aliases);
    rig.settings.secrets = 1;
    memset(rig.settings.secret[0], 7, 16);
    memcpy(message, asked, sizeof asked - 1);
    gy_dns_answer(rig.answerer, &query, 1);
    assert_int_equal(query.cookie, GY_DNS_COOKIE_CLIENT);
    /* The answer ends in the OPT, and that in our cookie: sent back, it is valid. */
    memcpy(message + query.bytes, rig.answer + query.answer_bytes - 16, 16);
    message[query.bytes - 13] = 28;
    message[query.bytes - 9] = 24;
    query.bytes += 16;
    gy_dns_answer(rig.answerer, &query, 1);
    assert_int_equal(query.cookie, GY_DNS_COOKIE_VALID);
    query.address[3] = 2;
    gy_dns_answer(rig.answerer, &query, 1);
    assert_int_equal(query.cookie, GY_DNS_COOKIE_CLIENT);
}

static void batches_answer_as_one_by_one(void **state)
{
    static const char *const names[] = {"web.example.",  "a.example.",  "x.d.example.",
                                        "no.",           "example.",    "none.example.",
                                        "cut.example.",  "w.example.",  "q.w.example.",
                                        "mail.example.", "www.example."};
    enum { QUERIES = 40 };
    static uint8_t messages[QUERIES][64], answers[QUERIES][1232];
    static struct gy_dns_query queries[QUERIES];
    (void)state;
    serve("example.", aliases);
    for (unsigned i = 0; i < QUERIES; i++) {
        struct gy_dns_builder builder;
        gy_dns_builder_open(&builder, messages[i], 64, (uint16_t)i, 0);
        gy_dns_builder_question(&builder, rig_name(names[i % COUNT(names)]), GY_DNS_TYPE_A, 1);
        queries[i] = (struct gy_dns_query){.message = messages[i],
                                           .bytes = (uint32_t)gy_dns_builder_close(&builder),
                                           .answer = answers[i],
                                           .room = 1232};
    }
    gy_dns_answer(rig.answerer, queries, QUERIES);
    for (unsigned i = 0; i < QUERIES; i++) {
        struct gy_dns_query one = queries[i];
        one.answer = rig.answer;
        gy_dns_answer(rig.answerer, &one, 1);
        assert_int_equal(one.answer_bytes, queries[i].answer_bytes);
        assert_memory_equal(one.answer, answers[i], one.answer_bytes);
    }
}

/* Whatever was foreseen, also of what is no query, the same is answered. */
static void prefetching_answers_nothing(void **state)
{
    struct gy_dns_query soon[GY_DNS_BATCH];
    uint8_t untouched = 0xa5, before[GY_DNS_UDP_MIN];
    (void)state;
    serve("example.", aliases);
    rig_ask(&rig, "web.example.", GY_DNS_TYPE_A, RIG_EDNS);
    uint32_t bytes = rig.query.answer_bytes;
    assert_true(bytes > 0 && bytes <= sizeof before);
    memcpy(before, rig.answer, bytes);
    for (uint32_t i = 0; i < GY_DNS_BATCH; i++) {
        soon[i] = (struct gy_dns_query){.message = rig.query.message,
                                        .bytes = i * rig.query.bytes / (GY_DNS_BATCH - 1),
                                        .answer = &untouched,
                                        .transport = GY_DNS_TCP};
    }
    gy_dns_prefetch(rig.answerer, soon, GY_DNS_BATCH);
    assert_int_equal(untouched, 0xa5);
    for (uint32_t i = 0; i < GY_DNS_BATCH; i++) {
        assert_int_equal(soon[i].answer_bytes, 0);
    }
    gy_dns_answer(rig.answerer, &rig.query, 1);
    assert_int_equal(rig.query.answer_bytes, bytes);
    assert_memory_equal(rig.answer, before, bytes);
}

static void slip_is_truncated_and_small(void **state)
{
    (void)state;
    serve("example.", aliases);
    rig_ask(&rig, "web.example.", GY_DNS_TYPE_A, RIG_EDNS);
    gy_dns_answer_slip(&rig.query);
    assert_string_equal(rig_text(rig.answer, rig.query.answer_bytes),
                        "NOERROR tc\n? web.example. A\n");
    assert_true(rig.query.answer_bytes < rig.query.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(wildcards_of_rfc_4592, shut),
        cmocka_unit_test_teardown(aliases_are_followed_within_the_zone, shut),
        cmocka_unit_test_teardown(circles_of_aliases_end, shut),
        cmocka_unit_test_teardown(ds_without_a_signature_is_not_in_a_referral, shut),
        cmocka_unit_test_teardown(dnames_make_cnames, shut),
        cmocka_unit_test_teardown(a_name_too_long_for_its_dname_is_yxdomain, shut),
        cmocka_unit_test_teardown(long_chains_are_cut_short, shut),
        cmocka_unit_test_teardown(additional_addresses_follow, shut),
        cmocka_unit_test_teardown(any_is_one_rrset, shut),
        cmocka_unit_test_teardown(names_match_in_any_case_and_come_back_as_asked, shut),
        cmocka_unit_test_teardown(negative_answers_live_as_long_as_the_minimum_says, shut),
        cmocka_unit_test_teardown(what_is_not_ours_is_refused_in_no_more_bytes, shut),
        cmocka_unit_test_teardown(the_longest_zone_answers, shut),
        cmocka_unit_test_teardown(the_root_is_a_zone_too, shut),
        cmocka_unit_test_teardown(what_does_not_fit_is_left_to_tcp, shut),
        cmocka_unit_test_teardown(answers_beyond_the_reach_of_pointers_are_well_formed, shut),
        cmocka_unit_test_teardown(glue_that_does_not_fit_sets_tc, shut),
        cmocka_unit_test_teardown(hostile_messages_get_their_error_or_nothing, shut),
        cmocka_unit_test_teardown(ixfr_over_udp_is_told_the_soa, shut),
        cmocka_unit_test_teardown(cookies_are_answered_and_known_again, shut),
        cmocka_unit_test_teardown(batches_answer_as_one_by_one, shut),
        cmocka_unit_test_teardown(prefetching_answers_nothing, shut),
        cmocka_unit_test_teardown(slip_is_truncated_and_small, shut),
    };
    return cmocka_run_group_tests_name("dns answers", tests, NULL, NULL);
}
