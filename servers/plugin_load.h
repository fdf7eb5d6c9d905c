/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PLUGIN_LOAD_H
#define GY_SERVERS_PLUGIN_LOAD_H

/* Loading plug-ins (plugin.h). What is loaded stays until the process ends. */

#include "plugin.h"

/* Loads a file and looks at everything in it that can be wrong, whose sentences name `path`:
 * GY_EINVAL, GY_EREFUSED or GY_ENOTSUP. What a constructor of the file does is done by then. */
int gy_plugin_load(const struct gy_plugin **plugin, const char *path, struct gy_error *error);

/* The part of it that needs no file: whether this process can use what is in `plugin`. */
int gy_plugin_check(const struct gy_plugin *plugin, const char *path, struct gy_error *error);

#endif
