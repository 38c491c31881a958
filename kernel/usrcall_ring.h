/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packet rings that clients map: an operation of the protocol, used by
 * usrcall_call.c. linux/usrcall_ring.h declares what net/packet calls.
 */
#ifndef __USRCALL_RING_H
#define __USRCALL_RING_H

#include "usrcall_lane.h"

int usrcall_map_file(struct usrcall_lane *lane, int fd, u64 bytes);

#endif
