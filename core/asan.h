/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_ASAN_H
#define GY_CORE_ASAN_H

/* Memory that nobody owns is poisoned in builds with the address sanitizer, so that a use after
 * release is a report. */

#if defined(__SANITIZE_ADDRESS__)
#define GY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GY_ASAN 1
#endif
#endif

#ifdef GY_ASAN
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <sys/mman.h>

#define gy_poison(address, bytes) __asan_poison_memory_region((address), (bytes))

/* Of a large region the sanitizer's pages go back to the system, as zero is what they say of memory
 * that may be used: to write zeros over them would bring in all of those that never were there. */
static inline void gy_unpoison(const void *address, size_t bytes)
{
    if (bytes >= 4u << 20) {
        const uintptr_t unit = 65536; /* as large as pages get */
        uintptr_t begin = (uintptr_t)address, end = begin + bytes;
        size_t scale, offset;
        __asan_get_shadow_mapping(&scale, &offset);
        uintptr_t first = ((begin >> scale) + offset + unit - 1) / unit * unit;
        uintptr_t last = ((end >> scale) + offset) / unit * unit;
        if (madvise((void *)first, last - first, MADV_DONTNEED) == 0) {
            __asan_unpoison_memory_region(address, ((first - offset) << scale) - begin);
            address = (const void *)((last - offset) << scale);
            bytes = end - (uintptr_t)address;
        }
    }
    __asan_unpoison_memory_region(address, bytes);
}
#else
#define gy_poison(address, bytes)   ((void)(address), (void)(bytes))
#define gy_unpoison(address, bytes) ((void)(address), (void)(bytes))
#endif

#endif
