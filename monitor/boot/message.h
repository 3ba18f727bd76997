/* SPDX-License-Identifier: MIT */
/* message: one line on standard error, after the command's name. */
#ifndef MONITOR_BOOT_MESSAGE_H
#define MONITOR_BOOT_MESSAGE_H

__attribute__((format(printf, 1, 2))) void message(const char *format, ...);

#endif
