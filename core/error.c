/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *gy_error_name(int code)
{
    switch (code) {
#define GY_ERROR_NAME(name, value, text)                                                           \
    case name:                                                                                     \
        return #name;
        GY_ERRORS(GY_ERROR_NAME)
#undef GY_ERROR_NAME
    default:
        return "unknown";
    }
}

const char *gy_error_text(int code)
{
    switch (code) {
#define GY_ERROR_TEXT(name, value, text)                                                           \
    case name:                                                                                     \
        return text;
        GY_ERRORS(GY_ERROR_TEXT)
#undef GY_ERROR_TEXT
    default:
        return "unknown";
    }
}

int gy_error_from_errno(int errno_value)
{
    switch (errno_value) {
    case ENOMEM:
        return GY_ENOMEM;
    case ENOBUFS:
        return GY_ENOBUFS;
    case EINVAL:
        return GY_EINVAL;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
    case EBADF:
    case ESHUTDOWN:
        return GY_ECLOSED;
    case ETIMEDOUT:
    case ETIME:
        return GY_ETIMEOUT;
    case EAGAIN:
    case EINTR:
        return GY_EAGAIN;
    case EPERM:
    case EACCES:
    case ENOSYS:
        return GY_EREFUSED;
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
    case EAFNOSUPPORT:
        return GY_ENOTSUP;
    case EADDRINUSE:
        return GY_EADDRINUSE;
    case EMFILE:
    case ENFILE:
        return GY_ENOFILE;
    default:
        return GY_EIO;
    }
}

int gy_error_set(struct gy_error *error, int code, const char *format, ...)
{
    gy_assert(code < 0);
    gy_assert(format != NULL);
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        error->code = code;
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return code;
}

void gy_assert_failed(const char *expression, const char *file, int line, const char *function)
{
    fprintf(
        stderr,
        "gyre: assertion `%s` failed in %s (%s:%d). This is a defect in gyre; the state it was in "
        "cannot be trusted, so it stops here.\n",
        expression, function, file, line);
    abort();
}
