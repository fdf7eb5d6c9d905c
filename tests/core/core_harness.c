/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/core/core_harness.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

static char deadline_test[128];

static void too_late(int signal)
{
    (void)signal;
    static const char text[] = "\nBail out! a test did not end in time: ";
    ssize_t written = write(STDOUT_FILENO, text, sizeof text - 1);
    written += write(STDOUT_FILENO, deadline_test, strlen(deadline_test));
    written += write(STDOUT_FILENO, "\n", 1);
    _exit(written > 0 ? 99 : 98);
}

void deadline(const char *test, unsigned seconds)
{
    struct sigaction action = {.sa_handler = too_late};
    snprintf(deadline_test, sizeof deadline_test, "%s", test != NULL ? test : "");
    sigaction(SIGALRM, &action, NULL);
    alarm(4 * seconds); /* on a busy machine */
}

ssize_t receive_on(int descriptor, void *data, size_t bytes)
{
    ssize_t received;
    do {
        received = recv(descriptor, data, bytes, 0);
    } while (received < 0 && errno == EINTR);
    return received;
}

void pattern_fill(uint8_t *target, uint32_t bytes, uint32_t stream, uint64_t offset)
{
    for (uint32_t i = 0; i < bytes; i++) {
        target[i] = pattern_byte(stream, offset + i);
    }
}

bool pattern_matches(const uint8_t *data, uint32_t bytes, uint32_t stream, uint64_t offset)
{
    for (uint32_t i = 0; i < bytes; i++) {
        if (data[i] != pattern_byte(stream, offset + i)) {
            return false;
        }
    }
    return true;
}

uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t random_seed(uint64_t fixed)
{
    const char *text = getenv("GY_TEST_SEED");
    uint64_t seed = text == NULL ? fixed : strtoull(text, NULL, 0);
    return seed == 0 ? 1 : seed;
}

uint32_t descriptors_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint32_t count = 0;
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count - 3; /* ".", "..", and the folder itself */
}
