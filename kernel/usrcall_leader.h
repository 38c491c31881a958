/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the first task of a session runs. For sessions that the manager makes,
 * and for those that lanes fork, which know it as session->main.
 */
#ifndef __USRCALL_LEADER_H
#define __USRCALL_LEADER_H

int usrcall_leader(void *session);

#endif
