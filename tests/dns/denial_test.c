/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Answers of signed zones: the examples of RFC 4035 appendix B and RFC 5155 appendix B, with the
 * zones of their appendices A. Signatures are shortened, since nobody checks them here. */

#include "tests/dns/probe.h"

static struct rig_zone zone;
static struct rig rig;

#define SIG(covered, labels)                                                                       \
    " RRSIG " covered " 5 " labels " 3600 20040509183619 20040409183619 38519 example. AAAA\n"
#define SEEN(mark, owner, covered, labels)                                                         \
    mark " " owner " RRSIG " covered " 5 " labels                                                  \
         " 3600 20040509183619 20040409183619 38519 example. AAAA\n"

static const char nsec_zone[] =
    "$ORIGIN example.\n$TTL 3600\n"
    "@ SOA ns1.example. bugs.x.w.example. 1081539377 3600 300 3600000 3600\n@" SIG("SOA", "1") "@ "
                                                                                               "NS "
                                                                                               "ns1"
                                                                                               "\n@"
                                                                                               " NS"
                                                                                               " ns"
                                                                                               "2\n"
                                                                                               "@" SIG("NS",
                                                                                                       "1") "@ MX 1 xx\n@" SIG("MX", "1") "@ NSEC a.example. NS SOA MX RRSIG NSEC DNSKEY\n@" SIG("NSEC", "1") "a NS ns1.a\na NS ns2.a\na DS 57855 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B\na" SIG("DS", "2") "a NSEC ai NS DS RRSIG NSEC\na" SIG("NSEC",
                                                                                                                                                                                                                                                                                                                                                      "2") "ns1.a A 192.0.2.5\nns2.a A 192.0.2.6\n"
                                                                                                                                                                                                                                                                                                                                                           "ai A 192.0.2.9\nai" SIG("A",
                                                                                                                                                                                                                                                                                                                                                                                    "2") "ai HINFO \"KLH-10\" \"ITS\"\nai AAAA 2001:db8::f00:baa9\nai" SIG("AAAA", "2") "ai NSEC b A HINFO AAAA RRSIG NSEC\nai" SIG("NSEC", "2") "b NS ns1.b\nb NS ns2.b\nb NSEC ns1 NS RRSIG NSEC\nb" SIG("NSEC", "2") "ns1.b A 192.0.2.7\nns2.b A 192.0.2.8\n"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        "ns1 A 192.0.2.1\nns1" SIG("A", "2") "ns1 NSEC ns2 A RRSIG NSEC\nns1" SIG("NSEC", "2") "ns2 A 192.0.2.2\nns2 NSEC *.w A RRSIG NSEC\nns2" SIG("NSEC", "2") "*.w MX 1 ai\n*.w" SIG(
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "MX",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "2") "*.w NSEC x.w MX RRSIG NSEC\n*.w" SIG("NSEC",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                       "2") "x.w MX 1 xx\nx.w" SIG("MX",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "3") "x.w NSEC x.y.w MX RRSIG NSEC\nx.w" SIG("NSEC",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "3") "x.y.w MX 1 xx\nx.y.w" SIG("MX",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "4") "x.y.w NSEC xx MX RRSIG NSEC\nx.y.w" SIG("NSEC",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                              "4") "xx A 192.0.2.10\nxx" SIG("A",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                             "2") "xx HINFO \"KLH-10\" \"TOPS-20\"\nxx AAAA 2001:db8::f00:baaa\nxx" SIG("AAAA",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        "2") "xx NSEC example. A HINFO AAAA RRSIG NSEC\nxx" SIG("NSEC",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "2");

#define SOA                                                                                        \
    "! example. SOA ns1.example. bugs.x.w.example. 1081539377 3600 300 3600000 3600\n" SEEN(       \
        "!", "example.", "SOA", "1")

static void serve(const char *text, size_t bytes)
{
    rig_zone_load(&zone, "example.", text, bytes, 0);
    assert_string_equal(zone.error.message, "");
    rig_init(&rig, 1);
    rig_add(&rig, &zone);
}

static int shut(void **state)
{
    (void)state;
    rig_free(&rig);
    rig_zone_free(&zone);
    return 0;
}

static void expect(const char *name, uint16_t type, const char *text)
{
    rig_ask(&rig, name, type, RIG_DO | RIG_TCP);
    assert_string_equal(rig_text(rig.answer, rig.query.answer_bytes), text);
}

/* Answers are easier to read a record a line than as clang-format sets them. */
/* clang-format off */
static void b1_an_answer_has_its_signatures(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("x.w.example.", GY_DNS_TYPE_MX,
           "NOERROR aa\n? x.w.example. MX\n= x.w.example. MX 1 xx.example.\n"
           SEEN("=", "x.w.example.", "MX", "3")
           "+ xx.example. A 192.0.2.10\n"
           SEEN("+", "xx.example.", "A", "2")
           "+ xx.example. AAAA 2001:db8::f00:baaa\n"
           SEEN("+", "xx.example.", "AAAA", "2")
           "+ OPT\n");
}

static void without_do_there_is_nothing_of_dnssec(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    rig_ask(&rig, "ml.example.", GY_DNS_TYPE_A, RIG_EDNS);
    assert_string_equal(rig_text(rig.answer, rig.query.answer_bytes),
                        "NXDOMAIN aa\n? ml.example. A\n! example. SOA ns1.example. "
                        "bugs.x.w.example. 1081539377 3600 300 3600000 3600\n+ OPT\n");
}

static void b2_name_error(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("ml.example.", GY_DNS_TYPE_A,
           "NXDOMAIN aa\n? ml.example. A\n" SOA
           "! b.example. NSEC ns1.example. NS RRSIG NSEC\n" SEEN(
               "!", "b.example.", "NSEC",
               "2") "! example. NSEC a.example. NS SOA MX RRSIG NSEC DNSKEY\n" SEEN("!", "example.",
                                                                                    "NSEC",
                                                                                    "1") "+ OPT\n");
}

static void b3_no_data(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("ns1.example.", GY_DNS_TYPE_MX,
           "NOERROR aa\n? ns1.example. MX\n" SOA
           "! ns1.example. NSEC ns2.example. A RRSIG NSEC\n" SEEN("!", "ns1.example.", "NSEC",
                                                                  "2") "+ OPT\n");
    /* An empty non-terminal is covered by what comes before it. */
    expect("y.w.example.", GY_DNS_TYPE_MX,
           "NOERROR aa\n? y.w.example. MX\n" SOA
           "! x.w.example. NSEC x.y.w.example. MX RRSIG NSEC\n" SEEN("!", "x.w.example.", "NSEC",
                                                                     "3") "+ OPT\n");
}

static void b4_referral_to_a_signed_zone(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("mc.a.example.", GY_DNS_TYPE_MX,
           "NOERROR\n? mc.a.example. MX\n! a.example. NS ns1.a.example.\n"
           "! a.example. NS ns2.a.example.\n"
           "! a.example. DS 57855 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B\n" SEEN(
               "!", "a.example.", "DS", "2") "+ ns1.a.example. A 192.0.2.5\n"
                                             "+ ns2.a.example. A 192.0.2.6\n+ OPT\n");
}

static void b5_referral_to_an_unsigned_zone(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("mc.b.example.", GY_DNS_TYPE_MX,
           "NOERROR\n? mc.b.example. MX\n! b.example. NS ns1.b.example.\n"
           "! b.example. NS ns2.b.example.\n! b.example. NSEC ns1.example. NS RRSIG NSEC\n" SEEN(
               "!", "b.example.", "NSEC", "2") "+ ns1.b.example. A 192.0.2.7\n"
                                               "+ ns2.b.example. A 192.0.2.8\n+ OPT\n");
}

static void b6_wildcard_expansion(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("a.z.w.example.", GY_DNS_TYPE_MX,
           "NOERROR aa\n? a.z.w.example. MX\n= a.z.w.example. MX 1 ai.example.\n"
           SEEN("=", "a.z.w.example.", "MX", "2")
           "! x.y.w.example. NSEC xx.example. MX RRSIG NSEC\n"
           SEEN("!", "x.y.w.example.", "NSEC", "4")
           "+ ai.example. A 192.0.2.9\n"
           SEEN("+", "ai.example.", "A", "2")
           "+ ai.example. AAAA 2001:db8::f00:baa9\n"
           SEEN("+", "ai.example.", "AAAA", "2")
           "+ OPT\n");
}

static void b7_wildcard_no_data(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("a.z.w.example.", GY_DNS_TYPE_AAAA,
           "NOERROR aa\n? a.z.w.example. AAAA\n" SOA
           "! *.w.example. NSEC x.w.example. MX RRSIG NSEC\n" SEEN(
               "!", "*.w.example.", "NSEC",
               "2") "! x.y.w.example. NSEC xx.example. MX RRSIG NSEC\n" SEEN("!", "x.y.w.example.",
                                                                             "NSEC",
                                                                             "4") "+ OPT\n");
}

static void b8_ds_of_the_zone_itself(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("example.", GY_DNS_TYPE_DS,
           "NOERROR aa\n? example. DS\n" SOA
           "! example. NSEC a.example. NS SOA MX RRSIG NSEC DNSKEY\n" SEEN("!", "example.", "NSEC",
                                                                           "1") "+ OPT\n");
}

static void rrsig_asked_for_gives_all_of_a_name(void **state)
{
    (void)state;
    serve(nsec_zone, sizeof nsec_zone - 1);
    expect("ns1.example.", GY_DNS_TYPE_RRSIG,
           "NOERROR aa\n? ns1.example. RRSIG\n" SEEN("=", "ns1.example.", "A", "2")
               SEEN("=", "ns1.example.", "NSEC", "2") "+ OPT\n");
    /* Of a wildcard with the proof that nothing is closer, and without its own NSEC. */
    expect("a.z.w.example.", GY_DNS_TYPE_RRSIG,
           "NOERROR aa\n? a.z.w.example. RRSIG\n" SEEN("=", "a.z.w.example.", "MX", "2")
               "! x.y.w.example. NSEC xx.example. MX RRSIG NSEC\n"
               SEEN("!", "x.y.w.example.", "NSEC", "4") "+ OPT\n");
}

/* clang-format on */

/* ---- RFC 5155 ---- */

#define N3(hash, next, types) hash " NSEC3 1 1 12 aabbccdd " next " " types "\n"
#define H_EXAMPLE             "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"
#define H_NS1                 "2t7b4g4vsa5smi47k61mv5bv1a22bojr"
#define H_XYW                 "2vptu5timamqttgl4luu9kg21e0aor3s"
#define H_A                   "35mthgpgcu1qg68fab165klnsnk3dpvl"
#define H_XW                  "b4um86eghhds6nea196smvmlo4ors995"
#define H_AI                  "gjeqe526plbf1g8mklp59enfd789njgi"
#define H_YW                  "ji6neoaepv8b5o6k4ev33abha8ht9fgc"
#define H_W                   "k8udemvp1j2f7eg6jebps17vp3n8i58h"
#define H_HASH                "kohar7mbb8dc2ce8a9qvl8hon4k53uhi"
#define H_NS2                 "q04jkcevqvmu85r014c7dkba38o0ji5r"
#define H_WILD                "r53bq7cc2uvmubfu5ocmm6pers9tk9en"
#define H_XX                  "t644ebqk9bibcna874givr6joj62mlhv"

static const char nsec3_zone[] =
    "$ORIGIN example.\n$TTL 3600\n"
    "@ SOA ns1.example. bugs.x.w.example. 1 3600 300 3600000 3600\n@ NS ns1\n@ NS ns2\n"
    "@ MX 1 xx\n@ NSEC3PARAM 1 0 12 aabbccdd\n" N3(H_EXAMPLE, H_NS1,
                                                   "MX DNSKEY NS SOA NSEC3PARAM RRSIG")
        N3(H_NS1, H_XYW, "A RRSIG") N3(H_XYW, H_A, "MX RRSIG") N3(H_A, H_XW, "NS DS RRSIG")
            N3(H_XW, H_AI, "MX RRSIG") N3(H_AI, H_YW, "A HINFO AAAA RRSIG") N3(H_YW, H_W, "")
                N3(H_W, H_HASH, "") N3(H_HASH, H_NS2, "A RRSIG") N3(H_NS2, H_WILD, "A RRSIG")
                    N3(H_WILD, H_XX, "MX RRSIG")
                        N3(H_XX, H_EXAMPLE,
                           "A HINFO AAAA RRSIG") "2t7b4g4vsa5smi47k61mv5bv1a22bojr A 192.0.2.127\n"
                                                 "a NS ns1.a\na NS ns2.a\na DS 58470 5 1 "
                                                 "3079F1593EBAD6DC121E202A8B766A6A4837206C\n"
                                                 "ns1.a A 192.0.2.5\nns2.a A 192.0.2.6\nai A "
                                                 "192.0.2.9\nai HINFO \"KLH-10\" \"ITS\"\n"
                                                 "ai AAAA 2001:db8:0:0:0:0:f00:baa9\nc NS ns1.c\nc "
                                                 "NS ns2.c\nns1.c A 192.0.2.7\n"
                                                 "ns2.c A 192.0.2.8\nns1 A 192.0.2.1\nns2 A "
                                                 "192.0.2.2\n*.w MX 1 ai\nx.w MX 1 xx\n"
                                                 "x.y.w MX 1 xx\nxx A 192.0.2.10\nxx HINFO "
                                                 "\"KLH-10\" \"TOPS-20\"\n"
                                                 "xx AAAA 2001:db8:0:0:0:0:f00:baaa\n";

#define SOA3 "! example. SOA ns1.example. bugs.x.w.example. 1 3600 300 3600000 3600\n"
#define E_EXAMPLE                                                                                  \
    "! " H_EXAMPLE ".example. NSEC3 1 1 12 AABBCCDD " H_NS1 " NS SOA MX RRSIG DNSKEY NSEC3PARAM\n"
#define E_A    "! " H_A ".example. NSEC3 1 1 12 AABBCCDD " H_XW " NS DS RRSIG\n"
#define E_XW   "! " H_XW ".example. NSEC3 1 1 12 AABBCCDD " H_AI " MX RRSIG\n"
#define E_NS1  "! " H_NS1 ".example. NSEC3 1 1 12 AABBCCDD " H_XYW " A RRSIG\n"
#define E_YW   "! " H_YW ".example. NSEC3 1 1 12 AABBCCDD " H_W "\n"
#define E_W    "! " H_W ".example. NSEC3 1 1 12 AABBCCDD " H_HASH "\n"
#define E_NS2  "! " H_NS2 ".example. NSEC3 1 1 12 AABBCCDD " H_WILD " A RRSIG\n"
#define E_WILD "! " H_WILD ".example. NSEC3 1 1 12 AABBCCDD " H_XX " MX RRSIG\n"

static void nsec3_b1_name_error(void **state)
{
    (void)state;
    serve(nsec3_zone, sizeof nsec3_zone - 1);
    expect("a.c.x.w.example.", GY_DNS_TYPE_A,
           "NXDOMAIN aa\n? a.c.x.w.example. A\n" SOA3 E_XW E_EXAMPLE E_A "+ OPT\n");
}

static void nsec3_b2_no_data(void **state)
{
    (void)state;
    serve(nsec3_zone, sizeof nsec3_zone - 1);
    expect("ns1.example.", GY_DNS_TYPE_MX, "NOERROR aa\n? ns1.example. MX\n" SOA3 E_NS1 "+ OPT\n");
    expect("y.w.example.", GY_DNS_TYPE_A, "NOERROR aa\n? y.w.example. A\n" SOA3 E_YW "+ OPT\n");
}

static void nsec3_b3_referral_to_an_opted_out_zone(void **state)
{
    (void)state;
    serve(nsec3_zone, sizeof nsec3_zone - 1);
    expect("mc.c.example.", GY_DNS_TYPE_MX,
           "NOERROR\n? mc.c.example. MX\n! c.example. NS ns1.c.example.\n"
           "! c.example. NS ns2.c.example.\n" E_EXAMPLE E_A
           "+ ns1.c.example. A 192.0.2.7\n+ ns2.c.example. A 192.0.2.8\n+ OPT\n");
}

static void nsec3_b4_wildcard_expansion(void **state)
{
    (void)state;
    serve(nsec3_zone, sizeof nsec3_zone - 1);
    expect("a.z.w.example.", GY_DNS_TYPE_MX,
           "NOERROR aa\n? a.z.w.example. MX\n= a.z.w.example. MX 1 ai.example.\n" E_NS2
           "+ ai.example. A 192.0.2.9\n+ ai.example. AAAA 2001:db8::f00:baa9\n+ OPT\n");
}

static void nsec3_b5_wildcard_no_data(void **state)
{
    (void)state;
    serve(nsec3_zone, sizeof nsec3_zone - 1);
    expect("a.z.w.example.", GY_DNS_TYPE_AAAA,
           "NOERROR aa\n? a.z.w.example. AAAA\n" SOA3 E_W E_NS2 E_WILD "+ OPT\n");
}

static void nsec3_b6_ds_of_the_zone_itself(void **state)
{
    (void)state;
    serve(nsec3_zone, sizeof nsec3_zone - 1);
    expect("example.", GY_DNS_TYPE_DS, "NOERROR aa\n? example. DS\n" SOA3 E_EXAMPLE "+ OPT\n");
}

static void owners_of_nsec3_are_no_names(void **state)
{
    (void)state;
    serve(nsec3_zone, sizeof nsec3_zone - 1);
    rig_ask(&rig, H_A ".example.", GY_DNS_TYPE_NSEC3, RIG_DO);
    assert_int_equal(rig.query.rcode, GY_DNS_RCODE_NXDOMAIN); /* RFC 5155 §7.2.8 */
    rig_ask(&rig, H_NS1 ".example.", GY_DNS_TYPE_A, 0);       /* has an address of its own */
    assert_int_equal(rig.query.rcode, 0);
}

static void hash_names_of_255_bytes_fit(void **state)
{
    char text[2048], name[300] = "";
    (void)state;
    /* Zone and names as long as they may be: the wildcard below would not fit. */
    const char *label = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    snprintf(name, sizeof name, "%s.%s.%s.%.53s.example.", label, label, label, label);
    assert_int_equal(gy_dns_name_bytes(rig_name(name)), 255);
    snprintf(text, sizeof text,
             "$TTL 1h\n@ SOA ns h 1 1 1 1 1\n@ NS ns.\n@ NSEC3PARAM 1 0 0 -\n" H_A
             " NSEC3 1 0 0 - " H_A "\n%s A 192.0.2.1\n",
             name);
    serve(text, strlen(text));
    rig_ask(&rig, name, GY_DNS_TYPE_MX, RIG_DO);
    assert_int_equal(rig.query.rcode, 0);
    name[0] = 'b';
    rig_ask(&rig, name, GY_DNS_TYPE_MX, RIG_DO);
    assert_int_equal(rig.query.rcode, GY_DNS_RCODE_NXDOMAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(b1_an_answer_has_its_signatures, shut),
        cmocka_unit_test_teardown(without_do_there_is_nothing_of_dnssec, shut),
        cmocka_unit_test_teardown(b2_name_error, shut),
        cmocka_unit_test_teardown(b3_no_data, shut),
        cmocka_unit_test_teardown(b4_referral_to_a_signed_zone, shut),
        cmocka_unit_test_teardown(b5_referral_to_an_unsigned_zone, shut),
        cmocka_unit_test_teardown(b6_wildcard_expansion, shut),
        cmocka_unit_test_teardown(b7_wildcard_no_data, shut),
        cmocka_unit_test_teardown(b8_ds_of_the_zone_itself, shut),
        cmocka_unit_test_teardown(rrsig_asked_for_gives_all_of_a_name, shut),
        cmocka_unit_test_teardown(nsec3_b1_name_error, shut),
        cmocka_unit_test_teardown(nsec3_b2_no_data, shut),
        cmocka_unit_test_teardown(nsec3_b3_referral_to_an_opted_out_zone, shut),
        cmocka_unit_test_teardown(nsec3_b4_wildcard_expansion, shut),
        cmocka_unit_test_teardown(nsec3_b5_wildcard_no_data, shut),
        cmocka_unit_test_teardown(nsec3_b6_ds_of_the_zone_itself, shut),
        cmocka_unit_test_teardown(owners_of_nsec3_are_no_names, shut),
        cmocka_unit_test_teardown(hash_names_of_255_bytes_fit, shut),
    };
    return cmocka_run_group_tests_name("dns denial", tests, NULL, NULL);
}
