/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/files_internal.h"

void gy_files_answer_listing(struct gy_http_exchange *exchange, const struct gy_file_path *path)
{
    (void)path;
    gy_files_answer_error(exchange, 404, NULL);
}

void gy_files_listing_forget(struct gy_files_request *request)
{
    (void)request;
}
