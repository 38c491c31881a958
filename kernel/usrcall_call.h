/* SPDX-License-Identifier: GPL-2.0-only */
/* What a lane executes. Used by the lane's thread (usrcall_thread.c). */
#ifndef __USRCALL_CALL_H
#define __USRCALL_CALL_H

#include "usrcall_lane.h"

/* As arch/x86/um/sys_call_table_64.c declares it. */
extern long (*const sys_call_table[])(unsigned long, unsigned long,
				      unsigned long, unsigned long,
				      unsigned long, unsigned long);

s64 usrcall_execute(struct usrcall_lane *lane);

#endif
