/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open files on their way from one session to another: operations of the
 * protocol, used by usrcall_call.c, and a command, used by usrcall_leader.c.
 */
#ifndef __USRCALL_EXPORT_H
#define __USRCALL_EXPORT_H

#include "usrcall_lane.h"

s64 usrcall_export(struct usrcall_lane *lane, int fd, u64 flags);
void usrcall_give(struct usrcall_session *session, int fd, u32 row);
s64 usrcall_import(u64 id);
s64 usrcall_settle(u64 id);

#endif
