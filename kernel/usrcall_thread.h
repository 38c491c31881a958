/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads of lanes. The session's leader starts them, and makes them stand
 * still; they end by themselves.
 */
#ifndef __USRCALL_THREAD_H
#define __USRCALL_THREAD_H

#include "usrcall_lane.h"

int usrcall_attach(struct usrcall_session *session, u32 index);
void usrcall_reset_lanes(struct usrcall_session *session, bool every, u32 client);

#endif
