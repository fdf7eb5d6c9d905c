/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_DESCRIPTOR_H
#define GY_CORE_DESCRIPTOR_H

/* What is done alike with descriptors all over; -1 stands for none. */

#include <errno.h>
#include <unistd.h>

/* Closes it, if there is one; errno stays as it is, so that it can be done before a failure is
 * told. */
static inline void gy_descriptor_close(int descriptor)
{
    int cause = errno;
    if (descriptor >= 0) {
        close(descriptor);
    }
    errno = cause;
}

/* The same for one that is kept: there is none then. */
static inline void gy_descriptor_drop(int *descriptor)
{
    gy_descriptor_close(*descriptor);
    *descriptor = -1;
}

#endif
