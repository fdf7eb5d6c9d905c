/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_FILE_RANGE_H
#define GY_CORE_FILE_RANGE_H

/*
 * A part of an open file as something that a stream sends: a buffer without bytes in memory, whose
 * slices stand in the stream's `out` among others, in their order. The kernel takes the pages of
 * its cache by reference (sendfile(2)), so that nothing is read into memory here and nothing is
 * copied for a peer on another host, or by this worker.
 *
 * For streams without a layer only (TLS has to see the bytes); nothing but sending, consuming,
 * moving and dropping may be done with such a slice, since gy_slice_data() of it is no pointer.
 *
 * What a peer gets is the file as it is when it leaves, not as it was when it was asked for. A file
 * that turns out to be shorter than its range, or that cannot be read, ends the stream: `failed` is
 * called, what was sent before leaves, and the rest is dropped.
 *
 * The worker never waits for a disk: before each send the range's pages are looked for in the page
 * cache. Those that are not there are first read by the ring (into memory that nobody looks at),
 * and then sent.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "slice.h"

struct gy_file_range {
    struct gy_buffer buffer; /* data is NULL */
    uint64_t position;       /* in the file, of the buffer's first byte */
    int descriptor;
    /* The file has fewer bytes, or cannot be read; the stream ends. May be NULL. */
    void (*failed)(struct gy_file_range *range);
};

/* What is read at once of a range that is not in the page cache. */
#define GY_FILE_RANGE_READ_BYTES 131072

/* The file is asked every so many bytes whether they are there, where the kernel does not say it of
 * a range as a whole: before 6.5, and of files that are another user's and not to be written. */
#define GY_FILE_RANGE_PROBE_BYTES 65536

/*
 * Makes a range of `bytes` (> 0) at `position` of an open file that gy_file_is_sendable(), held
 * once, by the caller. `release` is called when its last slice is dropped (NULL: nobody cares);
 * until then the descriptor stays open and the range where it is.
 */
void gy_file_range_init(struct gy_file_range *range, int descriptor, uint64_t position,
                        uint32_t bytes, void (*release)(struct gy_buffer *buffer));

/* Whether the file system of an open regular file can say what is in the page cache, so that its
 * ranges can be sent: ext4, XFS, Btrfs and tmpfs do; those of networks and of user space do not. */
bool gy_file_is_sendable(int descriptor);

/* ---- for core/stream ---- */

static inline bool gy_slice_is_file(struct gy_slice slice)
{
    return slice.buffer->data == NULL;
}

/* Whether sending so many bytes (> 0) would not wait for a disk. True as well where the file ends
 * before them. */
bool gy_file_is_resident(int descriptor, uint64_t position, uint32_t bytes);

#endif
