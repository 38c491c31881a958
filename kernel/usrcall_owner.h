/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who gets the signals of open files: two operations of the protocol, used by
 * usrcall_call.c.
 */
#ifndef __USRCALL_OWNER_H
#define __USRCALL_OWNER_H

#include "usrcall_lane.h"

s64 usrcall_owner(struct usrcall_lane *lane);

#endif
