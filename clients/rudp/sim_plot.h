/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_SIM_PLOT_H
#define GY_CLIENTS_RUDP_SIM_PLOT_H

#include <stdio.h>

#include "tests/sim/rudp_path.h"

/* The run's trace as one SVG: what is in flight and what may be, round trips, the rate of delivery
 * and losses, over time. `title` is shown above, and has no characters that XML means something by.
 */
void gy_rudp_sim_plot(FILE *out, const struct path_result *result, const char *title);

#endif
