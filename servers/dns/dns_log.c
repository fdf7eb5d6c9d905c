/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The query log: a line for each query that was answered,
 *     2026-01-31T12:00:00Z 192.0.2.1 udp www.example.com. IN A NOERROR 62 +ED
 * when, from where, how, what, the answer's code and bytes (0: a transfer), and of the query: E
 * EDNS, D DNSSEC asked for, S signed; of the answer: T truncated. Names are in presentation format,
 * so that nothing of a client can end a line.
 */

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "core/cursor.h"
#include "servers/dns/dns_internal.h"

static void put_name(struct gy_writer *out, const struct gy_dns_query *query)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    if (query->question_bytes == 0) {
        gy_writer_text(out, "-");
        return;
    }
    gy_dns_name_to_text(query->message + GY_DNS_HEADER_BYTES, name);
    gy_writer_text(out, name);
}

static void put_flags(struct gy_writer *out, const struct gy_dns_query *query)
{
    gy_writer_text(out, query->has_edns ? " +E" : " +");
    gy_writer_text(out, query->dnssec_ok ? "D" : "");
    gy_writer_text(out, query->tsig_at != 0 ? "S" : "");
    gy_writer_text(out, query->truncated ? "T" : "");
}

void dns_log(struct gy_dns_worker *worker, const struct gy_dns_query *query)
{
    static const char *const transports[] = {" udp ", " tcp ", " tls "};
    char line[GY_ACCESS_LINE_BYTES];
    char address[INET6_ADDRSTRLEN] = "-";
    char word[GY_DNS_MNEMONIC_BYTES];
    struct gy_writer out = gy_writer_on(line, sizeof line);
    if (query->now != worker->log_second || worker->log_time[0] == '\0') {
        worker->log_second = query->now;
        gy_access_time(GY_ACCESS_JSON, query->now, worker->log_time);
    }
    if (query->address_bytes != 0) {
        inet_ntop(query->address_bytes == 4 ? AF_INET : AF_INET6, query->address, address,
                  sizeof address);
    }
    gy_writer_text(&out, worker->log_time);
    gy_writer_text(&out, " ");
    gy_writer_text(&out, address);
    gy_writer_text(&out, transports[query->transport]);
    put_name(&out, query);
    gy_writer_text(&out, " ");
    gy_writer_text(&out, gy_dns_class_text(query->class, word));
    gy_writer_text(&out, " ");
    gy_writer_text(&out, gy_dns_type_text(query->type, word));
    gy_writer_text(&out, " ");
    gy_writer_text(&out, gy_dns_rcode_text(query->rcode, word));
    gy_writer_text(&out, " ");
    gy_writer_decimal(
        &out, query->outcome == GY_DNS_TRANSFER && query->rcode == 0 ? 0 : query->answer_bytes);
    put_flags(&out, query);
    gy_writer_text(&out, "\n");
    gy_assert(!out.failed); /* the longest name leaves room for the rest */
    gy_access_queue_put(worker->log, line, gy_writer_length(&out));
}
