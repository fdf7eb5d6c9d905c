/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_ERROR_H
#define GY_CORE_ERROR_H

/*
 * Errors and assertions.
 *
 * A function that can fail returns 0 (or a count) or one of the negative codes below. Code that
 * runs once (set-up, configuration) also fills a `struct gy_error`, whose message is the sentence
 * that reaches a person: what was being done, to what, why it failed, what to try. Code on the data
 * path returns the bare code and counts.
 *
 * An assertion states an invariant of our own. It stays on in release builds: going on with a
 * broken invariant costs more than stopping, and the supervisor starts a fresh process. Input from
 * outside never reaches one.
 */

#include <stdarg.h>
#include <stdint.h>

/* code, short name, meaning */
#define GY_ERRORS(X)                                                                               \
    X(GY_ENOMEM, -1, "out of memory")                                                              \
    X(GY_ENOBUFS, -2, "a bounded pool or queue is full")                                           \
    X(GY_ELIMIT, -3, "a configured limit was reached")                                             \
    X(GY_EINVAL, -4, "an argument or setting is not valid")                                        \
    X(GY_EPROTO, -5, "the peer broke the protocol")                                                \
    X(GY_ECLOSED, -6, "already closed")                                                            \
    X(GY_ETIMEOUT, -7, "a deadline passed")                                                        \
    X(GY_EAGAIN, -8, "nothing to do yet; ask again")                                               \
    X(GY_EREFUSED, -9, "refused by the system")                                                    \
    X(GY_EIO, -10, "the system reported an I/O error")                                             \
    X(GY_ENOTSUP, -11, "not supported here")                                                       \
    X(GY_EADDRINUSE, -12, "the address is in use")                                                 \
    X(GY_ENOFILE, -13, "out of file descriptors")                                                  \
    X(GY_ESTATE, -14, "not allowed in this state")                                                 \
    X(GY_ENOTFOUND, -15, "no such thing")                                                          \
    X(GY_EEXIST, -16, "it exists already")                                                         \
    X(GY_ENOSPACE, -17, "no space is left on the device")

enum gy_error_code {
#define GY_ERROR_ENUM(name, value, text) name = value,
    GY_ERRORS(GY_ERROR_ENUM)
#undef GY_ERROR_ENUM
};

/* Bytes of a message, its final zero included; a longer one is cut. */
#define GY_ERROR_MESSAGE_BYTES 512

struct gy_error {
    int code; /* 0, or a GY_E… code */
    char message[GY_ERROR_MESSAGE_BYTES];
};

/* The constant's name ("GY_ENOBUFS") and its meaning; "unknown" for a number that is none of ours.
 */
const char *gy_error_name(int code);
const char *gy_error_text(int code);

/* The GY_E… code that fits an errno value (positive). Never 0. */
int gy_error_from_errno(int errno_value);

/* Fills `error` (which may be NULL) and returns `code`, so that a caller writes `return
 * gy_error_set(…)`. */
int gy_error_set(struct gy_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints the assertion to stderr and aborts. */
_Noreturn void gy_assert_failed(const char *expression, const char *file, int line,
                                const char *function);

#define gy_assert(expression)                                                                      \
    (__builtin_expect(!!(expression), 1)                                                           \
         ? (void)0                                                                                 \
         : gy_assert_failed(#expression, __FILE__, __LINE__, __func__))

#endif
