/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_JOB_H
#define GY_SERVERS_CHAT_JOB_H

/*
 * The memory of jobs (protocols/chat/store.h): a job and everything that it points to.
 */

#include <stddef.h>

#include "../../protocols/chat/store.h"

/* A zeroed job. NULL: out of memory. */
struct gy_chat_job *gy_chat_job_make(enum gy_chat_job_type type);

/* Memory that lives as long as the job; aligned for every type. NULL: out of memory. */
void *gy_chat_job_take(struct gy_chat_job *job, size_t bytes);

/* A copy of a text in the job's memory. 0 or GY_ENOMEM. */
int gy_chat_job_text(struct gy_chat_job *job, struct gy_chat_text *copy, const void *bytes,
                     uint32_t length);

/* With all of its blocks. NULL is allowed. */
void gy_chat_job_free(struct gy_chat_job *job);

#endif
