/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_HUB_WORLD_INTERNAL_H
#define GY_TESTS_CHAT_HUB_WORLD_INTERNAL_H

/* For hub_world.c and hub_world_store.c. */

#include "tests/chat/hub_world.h"

/* Memory that a crash takes. */
void *world_take(struct world *world, size_t bytes);
void world_give(struct world *world, void *pointer);

/* Jobs have no context. */
extern struct world *world_of_jobs;

struct gy_chat_job *world_job_make(enum gy_chat_job_type type);
void *world_job_take(struct gy_chat_job *job, size_t bytes);
void world_job_free(struct gy_chat_job *job);
int world_do_job(struct world *world, struct gy_chat_job *job);

#endif
