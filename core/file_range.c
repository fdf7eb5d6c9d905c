/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/file_range.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Younger than the C library's headers: linux/mman.h, the same number on every architecture. */
#define CACHESTAT 451

struct cachestat_range {
    uint64_t offset, length;
};

struct cachestat_counts {
    uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
};

void gy_file_range_init(struct gy_file_range *range, int descriptor, uint64_t position,
                        uint32_t bytes, void (*release)(struct gy_buffer *buffer))
{
    gy_assert(descriptor >= 0 && bytes > 0);
    *range = (struct gy_file_range){
        .buffer = {.capacity = bytes, .refs = 1, .release = release},
        .position = position,
        .descriptor = descriptor,
    };
}

/* Reads the byte there if that needs no disk. The errno, if it cannot be had so; 0 also behind the
 * file's end. */
static int try_byte(int descriptor, uint64_t position)
{
    char byte;
    struct iovec vector = {&byte, 1};
    return preadv2(descriptor, &vector, 1, (off_t)position, RWF_NOWAIT) >= 0 ? 0 : errno;
}

bool gy_file_is_sendable(int descriptor)
{
    int error = try_byte(descriptor, 0);
    return error == 0 || error == EAGAIN;
}

bool gy_file_is_resident(int descriptor, uint64_t position, uint32_t bytes)
{
    gy_assert(bytes > 0);
    struct cachestat_range range = {position, bytes};
    struct cachestat_counts counts;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t last = position + bytes - 1;
    if (syscall(CACHESTAT, descriptor, &range, &counts, 0) == 0) {
        /* Pages that are still being read are counted; they are read in their order. */
        return counts.cached >= last / page - position / page + 1 &&
               try_byte(descriptor, last) == 0;
    }
    /* From the first on, so that a look does not disturb the order in which the file is read. */
    for (; position < last; position += GY_FILE_RANGE_PROBE_BYTES) {
        if (try_byte(descriptor, position) != 0) {
            return false;
        }
    }
    return try_byte(descriptor, last) == 0;
}
