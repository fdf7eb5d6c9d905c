/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DOCTOR_PRINT_H
#define GY_SERVERS_DOCTOR_PRINT_H

/* The two forms of the doctor's report: for people, and for programs (servers/doctor.h has the
 * schema). */

#include <stdio.h>

#include "doctor.h"

void gy_doctor_print_text(FILE *out, const struct gy_doctor_report *report, bool colour);
void gy_doctor_print_json(FILE *out, const struct gy_doctor_report *report);

#endif
