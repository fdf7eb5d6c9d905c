/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chat_life.h"

/* chat-seeds FIRST [COUNT [HOURS]]: lives one after the other; stops at the first that breaks. */
int main(int count, char **arguments)
{
    if (count < 2 || count > 4) {
        fprintf(stderr, "usage: chat-seeds FIRST [COUNT [HOURS]]\n");
        return 2;
    }
    struct chat_life_options options = {.hours = count > 3 ? strtoull(arguments[3], NULL, 10) : 1};
    uint64_t first = strtoull(arguments[1], NULL, 10);
    uint64_t lives = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + lives; seed++) {
        struct chat_life_result result;
        options.seed = seed;
        bool held = chat_life(&options, &result);
        printf("seed %llu: said %llu acknowledged %llu delivered %llu gaps %llu spilled %llu "
               "resumed %llu crashes %llu full-disks %llu refusals %llu behind %llu slow %llu "
               "duplicates %llu %s\n",
               (unsigned long long)seed, (unsigned long long)result.said,
               (unsigned long long)result.acknowledged, (unsigned long long)result.delivered,
               (unsigned long long)result.gaps, (unsigned long long)result.spilled,
               (unsigned long long)result.resumed, (unsigned long long)result.crashes,
               (unsigned long long)result.full_disks, (unsigned long long)result.refusals,
               (unsigned long long)result.behind, (unsigned long long)result.slow,
               (unsigned long long)result.duplicates, held ? "held" : result.broken);
        if (!held) {
            return 1;
        }
    }
    return 0;
}
