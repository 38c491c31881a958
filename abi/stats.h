/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The table of counters: one memory object that minod makes and that every
 * proxy and every kernel instance maps, with a row for each session of the
 * device. Whoever serves a session writes its row; `mino status` reads all of
 * them through minod. Used by the C++ side through channel/session_stats.h and
 * by the driver (kernel/usrcall_session.h); clients never see it. Counters are
 * never used for decisions. The pids and the uid are: they tell whether a row
 * is free, whether its session is over, and whose it is.
 *
 *   offset  bytes  field
 *        0      4  proxy_pid    0: the row is free, and is claimed by a
 *                               compare-exchange from 0; -1: minod keeps it
 *        4      4  client_pid   0: not known yet
 *        8      8  session_id
 *       16      8  calls        system calls executed
 *       24      8  round_trips  pairs of request and reply, without upcalls
 *       32      8  upcalls      each is a round trip of its own
 *       40      8  bytes_in     client memory read by the device
 *       48      8  bytes_out    client memory written by the device
 *       56      4  lanes        threads of lanes that run
 *       60     16  name         the client's comm, as it said; ends with NUL
 *       76      4  instance     the kernel instance that serves it, where the
 *                               engine is linux
 *       76      4  instance     the kernel instance that serves it, with the
 *                               linux engine
 *       80      4  uid          of the client, by its last message; ~0: nobody
 *
 * Row n begins at n * 128: two cache lines that it shares with no other row.
 * With the linux engine, the driver writes the fields from calls to lanes. Its
 * kernel has one processor and is their only writer while the session lives,
 * so it adds to them plainly. What proxies and minod write is atomic.
 *
 * Rejected: a structure for each language and a test between them (every
 * field is then written twice); _Atomic in C (its += is a locked instruction,
 * and kernel code has no such types).
 */
#ifndef MINO_ABI_STATS_H
#define MINO_ABI_STATS_H

#if defined(__KERNEL__)
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>
#elif defined(__cplusplus)
#include <atomic>
#include <cstddef>
#include <cstdint>
#else
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#endif

/* A word that another process may read or write at the same time. */
#ifdef __cplusplus
#define MINO_STATS_WORD(type) std::atomic<type>
#else
#define MINO_STATS_WORD(type) type
#endif

#define MINO_STATS_ROW_BYTES 128u

struct mino_stats_row {
	MINO_STATS_WORD(int32_t) proxy_pid;
	MINO_STATS_WORD(int32_t) client_pid;
	MINO_STATS_WORD(uint64_t) session_id;
	MINO_STATS_WORD(uint64_t) calls;
	MINO_STATS_WORD(uint64_t) round_trips;
	MINO_STATS_WORD(uint64_t) upcalls;
	MINO_STATS_WORD(uint64_t) bytes_in;
	MINO_STATS_WORD(uint64_t) bytes_out;
	MINO_STATS_WORD(uint32_t) lanes;
	char name[16];
	MINO_STATS_WORD(uint32_t) instance;
	MINO_STATS_WORD(uint32_t) uid;
	uint32_t zero[11];
};

static_assert(offsetof(struct mino_stats_row, client_pid) == 4);
static_assert(offsetof(struct mino_stats_row, session_id) == 8);
static_assert(offsetof(struct mino_stats_row, calls) == 16);
static_assert(offsetof(struct mino_stats_row, round_trips) == 24);
static_assert(offsetof(struct mino_stats_row, upcalls) == 32);
static_assert(offsetof(struct mino_stats_row, bytes_in) == 40);
static_assert(offsetof(struct mino_stats_row, bytes_out) == 48);
static_assert(offsetof(struct mino_stats_row, lanes) == 56);
static_assert(offsetof(struct mino_stats_row, name) == 60);
static_assert(offsetof(struct mino_stats_row, instance) == 76);
static_assert(offsetof(struct mino_stats_row, uid) == 80);
static_assert(offsetof(struct mino_stats_row, zero) == 84);
static_assert(sizeof(struct mino_stats_row) == MINO_STATS_ROW_BYTES);

#undef MINO_STATS_WORD

#endif
