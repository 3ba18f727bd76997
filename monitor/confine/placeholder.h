/* SPDX-License-Identifier: MIT */
/* placeholder: what stands in a filter for a number that is known only when it is loaded. */
#ifndef MONITOR_CONFINE_PLACEHOLDER_H
#define MONITOR_CONFINE_PLACEHOLDER_H

#define CONFINE_PID 0x7fed1d00 /* the process's own; above any that there can be (PID_MAX_LIMIT, 2^22) */

#endif
