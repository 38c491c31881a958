/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The leader of a session: what its first task does. Used by the manager.
 */
#ifndef __USRCALL_LEADER_H
#define __USRCALL_LEADER_H

int usrcall_leader(void *session);

#endif
