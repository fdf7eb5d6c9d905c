/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/dig/dig_command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "clients/dig/dig.h"
#include "core/file_check.h"

#define LINE_BYTES  4096
#define LINE_WORDS  128
#define WORDS_BYTES 2048

static void help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre dig [@SERVER] [FLAGS] [NAME] [TYPE] [CLASS] [+OPTION]... [NAME...]\n"
        "Asks name servers. Words come in any order; what stands before the first name is for\n"
        "all of them, what follows a name for that one.\n\n"
        "  gyre dig example.org MX                  ask the servers of /etc/resolv.conf\n"
        "  gyre dig @192.0.2.1 -x 198.51.100.7      whose address is it\n"
        "  gyre dig @ns1.example.org example.org AXFR   all of a zone\n\n"
        "  -x ADDRESS     the name of an address      -p PORT   of the server (53; TLS: 853)\n"
        "  -q NAME  -t TYPE  -c CLASS   where a word could be taken for another\n"
        "  -4  -6         that family alone           -f FILE   a query a line (-: stdin)\n"
        "  -b ADDRESS[#PORT]   where queries leave from\n"
        "  -y [ALGORITHM:]NAME:SECRET   signs (TSIG), and checks what comes back; -k FILE does so\n"
        "                 with a key of tsig-keygen, which others on this host cannot see\n\n"
        "  +short         the answers' data alone     +json     a line of JSON (RFC 8427)\n"
        "  +tcp +tls      how it is asked; TLS trusts whoever answers, unless one of\n"
        "  +tls-ca[=FILE] +tls-hostname=NAME   says who has to have signed, and be named in,\n"
        "                 the server's certificate\n"
        "  +trace         from the root down          +dnssec   signatures too\n"
        "  +norecurse +cdflag +aaflag +noadflag       bits of the header\n"
        "  +time=S +tries=N    wait 5 s, 3 times      +ignore   what is cut stays cut\n"
        "  +search        complete the name by resolv.conf's search list\n"
        "  +bufsize=N +[no]edns[=N] +nsid +[no]cookie[=HEX] +subnet=A/N +padding=N\n"
        "  +keepalive +expire  options of EDNS        +qr       the query too\n"
        "  +noall +answer +authority +additional +question +comments +stats +cmd\n"
        "  +nottlid +noclass +identify +onesoa        what is printed\n"
        "  +multiline     over several lines, with what the numbers mean; +ttlunits: 1h, not 3600\n"
        "Each may be shortened, and has a +no form.\n\n"
        "Exit status: 0 there was an answer (whatever it says), 1 misuse, 8 the file cannot be\n"
        "read, 9 no server answered, 10 anything else.\n");
}

/* Runs what has been read. The worst status. */
static int run_all(struct gy_dig *dig, const struct gy_dig_command *command)
{
    int worst = DIG_ANSWERED;
    for (uint32_t i = 0; i < command->count; i++) {
        struct gy_dig_query *query = &command->queries[i];
        if (!query->named) {
            query->name[0] = 0; /* the root, and by itself: who serves it */
            query->type = query->typed ? query->type : GY_DNS_TYPE_NS;
        }
        int status = dig_look_up(dig, query);
        worst = status > worst ? status : worst;
        fflush(stdout);
    }
    return worst;
}

static int no_batch(const char *path, int cause)
{
    char why[GY_FILE_WHY_BYTES];
    fprintf(stderr, "gyre dig: couldn't open batch file '%s': %s\n", path,
            gy_file_why(why, path, R_OK, cause));
    return DIG_NO_FILE;
}

/* A query a line, in the words of the command line, behind what that says. */
static int run_batch(struct gy_dig *dig, struct gy_dig_command *command)
{
    bool input = strcmp(command->batch, "-") == 0;
    FILE *file = input ? stdin : fopen(command->batch, "re");
    char line[LINE_BYTES];
    uint32_t locals = command->local_count; /* of the command line */
    int worst = DIG_ANSWERED;
    if (file == NULL) {
        return no_batch(command->batch, errno);
    }
    while (fgets(line, sizeof line, file) != NULL) {
        char *words[LINE_WORDS];
        char *rest = NULL;
        int count = 0;
        char *word = strtok_r(line, " \t\r\n", &rest);
        for (; word != NULL && count < LINE_WORDS; word = strtok_r(NULL, " \t\r\n", &rest)) {
            words[count++] = word;
        }
        if (count == 0 || words[0][0] == '#' || words[0][0] == ';') {
            continue;
        }
        command->count = 0;
        command->local_count = locals;
        int status = dig_read_words(command, count, words, false);
        if (status == 0) {
            status = run_all(dig, command);
        }
        worst = status > worst ? status : worst;
    }
    if (ferror(file)) {
        worst = no_batch(command->batch, errno);
    }
    if (!input) {
        fclose(file);
    }
    return worst;
}

/* " @127.0.0.1 example.org": what the first line of the output repeats, but for secrets. */
static void join_words(char *text, size_t room, int count, char **words)
{
    size_t fill = 0;
    text[0] = '\0';
    for (int i = 0; i < count && fill < room; i++) {
        bool secret = strncmp(words[i], "-y", 2) == 0 || (i > 0 && strcmp(words[i - 1], "-y") == 0);
        fill += (size_t)snprintf(text + fill, room - fill, " %s",
                                 !secret                       ? words[i]
                                 : strcmp(words[i], "-y") == 0 ? "-y"
                                                               : "***");
    }
}

static int run(struct gy_dig_command *command)
{
    struct gy_error error = {0};
    size_t bytes = (sizeof(struct gy_dig) + GY_CACHE_LINE_BYTES - 1) / GY_CACHE_LINE_BYTES *
                   GY_CACHE_LINE_BYTES;
    struct gy_dig *dig = aligned_alloc(GY_CACHE_LINE_BYTES, bytes);
    if (dig == NULL) {
        fprintf(stderr, "gyre dig: out of memory\n");
        return DIG_INTERNAL;
    }
    memset(dig, 0, bytes);
    if (dig_open(dig, command, &error) != 0) {
        fprintf(stderr, "gyre dig: %s\n", error.message);
        free(dig);
        return DIG_INTERNAL;
    }
    int status = command->batch != NULL ? run_batch(dig, command) : run_all(dig, command);
    dig_close(dig);
    free(dig);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "gyre dig: writing the answers: %s\n", strerror(errno));
        status = DIG_INTERNAL;
    }
    return status;
}

int gy_dig_main(int argc, char **argv)
{
    char words[WORDS_BYTES];
    struct gy_dig_command command = {.words = words};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            help(stdout);
            return 0;
        }
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is told like any other error */
    join_words(words, sizeof words, argc - 1, argv + 1);
    dig_defaults(&command.defaults);
    command.room = (uint32_t)argc > LINE_WORDS ? (uint32_t)argc : LINE_WORDS;
    command.queries = calloc(command.room, sizeof *command.queries);
    if (command.queries == NULL) {
        fprintf(stderr, "gyre dig: out of memory\n");
        return DIG_INTERNAL;
    }
    int status = dig_read_words(&command, argc - 1, argv + 1, true);
    if (status == 0 && command.count == 0 && command.batch == NULL) {
        command.queries[0] = (struct gy_dig_query){
            .options = command.defaults, .type = GY_DNS_TYPE_NS, .class = GY_DNS_CLASS_IN};
        command.count = 1;
    }
    status = status == 0 ? run(&command) : status;
    gy_tls_files_close(&command.tls);
    free(command.queries);
    return status;
}
