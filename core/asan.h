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
#define gy_poison(address, bytes)   __asan_poison_memory_region((address), (bytes))
#define gy_unpoison(address, bytes) __asan_unpoison_memory_region((address), (bytes))
#else
#define gy_poison(address, bytes)   ((void)(address), (void)(bytes))
#define gy_unpoison(address, bytes) ((void)(address), (void)(bytes))
#endif

#endif
