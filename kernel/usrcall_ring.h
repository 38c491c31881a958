/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Packet rings that clients map. What net/packet asks for has a header of its
 * own, in include/linux.
 */
#ifndef __USRCALL_RING_H
#define __USRCALL_RING_H

#include "usrcall_lane.h"

int usrcall_map_file(struct usrcall_lane *lane, int fd);

#endif
