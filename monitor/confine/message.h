/* SPDX-License-Identifier: MIT */
#ifndef MONITOR_CONFINE_MESSAGE_H
#define MONITOR_CONFINE_MESSAGE_H

#include <stdbool.h>

/* Says that something cannot be had, and how to do without; false. */
bool confine_failed(const char *what, int error);

#endif
