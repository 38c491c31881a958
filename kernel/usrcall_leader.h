/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the first task of a session runs. Used for sessions that the manager
 * makes, and for those that lanes fork; lanes know it as session->main.
 */
#ifndef __USRCALL_LEADER_H
#define __USRCALL_LEADER_H

int usrcall_leader(void *session);

#endif
