/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The contracts of abi/ in C, for the kernel driver (kernel/), and what the
 * driver says to minod and its session processes on their sockets. Session
 * memory is described in abi/layout.h; abi/usrcall_test.cc holds the two
 * together. Nothing that comes from session memory is trusted.
 */
#ifndef MINO_ABI_USRCALL_H
#define MINO_ABI_USRCALL_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define USRCALL_VERSION 5

#define USRCALL_PAGE 4096u
#define USRCALL_HEADER 8192u
#define USRCALL_RING_SLOTS 8u
#define USRCALL_MAX_WINDOWS 60u
#define USRCALL_MAX_EXTENTS 63u
#define USRCALL_MAX_LANES 2000u
#define USRCALL_MIN_ARENA 4096u
#define USRCALL_MAX_ARENA (16u << 20)
#define USRCALL_MAX_FD (1u << 20)
#define USRCALL_MAX_SESSIONS 1024u

#define USRCALL_ARCH_X86_64 1

enum { /* abi::SubmissionKind */
	USRCALL_SUBMIT_CALL = 1,
	USRCALL_SUBMIT_OP = 2,
	USRCALL_SUBMIT_REPLY = 3,
};

enum { /* abi::CompletionKind */
	USRCALL_DONE = 1,
	USRCALL_UPCALL_READ = 2,
	USRCALL_UPCALL_WRITE = 3,
	USRCALL_UPCALL_STRING = 4,
	USRCALL_UPCALL_PROBE = 5,
};

enum { /* abi::Op */
	USRCALL_OP_FORK = 1,
	USRCALL_OP_LIST_FDS = 2,
	USRCALL_OP_LANE_EXIT = 3,
	USRCALL_OP_EXPORT = 4,
	USRCALL_OP_IMPORT = 5,
	USRCALL_OP_NULL = 6,
	USRCALL_OP_MAP = 7,
	USRCALL_OP_STAND_IN = 8,
	USRCALL_OP_SET_OWNER = 9,
	USRCALL_OP_GET_OWNER = 10,
	USRCALL_OP_SETTLE = 11,
	USRCALL_OP_PIPE = 12,
	USRCALL_OP_NEW_USERS = 13,
};
#define USRCALL_FOR_HOLDERS 1 /* an argument of USRCALL_OP_EXPORT */

enum { /* abi::Owner; as fcntl's F_OWNER_TID and so on */
	USRCALL_OWNER_THREAD = 0,
	USRCALL_OWNER_PROCESS = 1,
	USRCALL_OWNER_GROUP = 2,
};

enum { USRCALL_FLAG_OWN_CREDENTIALS = 2 }; /* abi::SubmissionFlags */

enum { USRCALL_WINDOW_IN = 1, USRCALL_WINDOW_OUT = 2 };

enum { /* abi::Sleeping */
	USRCALL_AWAKE = 0,
	USRCALL_ON_FUTEX = 1,
	USRCALL_ON_BELL = 2,
};

struct usrcall_window {
	uint64_t addr;
	uint32_t len;
	uint32_t place; /* arena offset, a multiple of 8, and a direction */
};

struct usrcall_submission {
	uint32_t turn;
	uint32_t nr;
	int32_t install_fd;
	uint8_t kind;
	uint8_t flags;
	uint8_t window_count;
	uint8_t arch;
	uint64_t args[6];
	struct usrcall_window windows[USRCALL_MAX_WINDOWS];
};

struct usrcall_extent {
	uint64_t addr;
	uint32_t len;
	uint32_t arena_off;
};

struct usrcall_completion {
	uint32_t turn;
	uint8_t kind;
	uint8_t reserved;
	uint16_t extent_count;
	int64_t result;
	struct usrcall_extent extents[USRCALL_MAX_EXTENTS];
};

struct usrcall_lane_control {
	uint32_t pad0; /* 0: written by the client */
	uint32_t client_sleeping;
	uint32_t cancel_turn;
	uint32_t pad1[13];
	uint32_t device_sleeping; /* 64: written by the device */
	uint32_t attached;
	uint32_t pad2[14];
	uint32_t liveness; /* 128: the session process */
	uint32_t pad3[15];
	uint32_t submission_position; /* 192 */
	uint32_t completion_position;
	uint32_t pad4[14];
};

struct usrcall_session_header {
	uint64_t magic;
	uint32_t version;
	uint32_t lane_count;
	uint32_t lane_stride;
	uint32_t arena_bytes;
	uint64_t session_id;
	uint64_t total_bytes;
	uint32_t pad1[6];
	uint32_t device_sleeping; /* 64 */
	uint32_t doorbell;
	uint32_t pad2[14];
	/* 128: written by the client: 0, or 1 + which client */
	uint32_t lane_states[USRCALL_MAX_LANES];
};

/* usrcall_lane_control.attached */
enum { USRCALL_NO_LANE = 0, USRCALL_SERVES = 1, USRCALL_NO_THREAD = 2 };

#define USRCALL_SUBMISSIONS USRCALL_PAGE
#define USRCALL_COMPLETIONS (USRCALL_SUBMISSIONS + USRCALL_RING_SLOTS * 1024u)
#define USRCALL_ARENA (USRCALL_COMPLETIONS + USRCALL_RING_SLOTS * 1024u)

/*
 * Commands: datagrams of one size on AF_UNIX SOCK_SEQPACKET sockets. "->" goes
 * to the kernel, "<-" comes from it.
 *
 *   instance socket (minod and every session process write, minod reads)
 *     <- READY {text: release}        init has called SERVE
 *     -> NEW {...} + memory, session socket
 *                                     a session begins
 *     -> REPORT
 *     <- REPORT {id: sockets in use}
 *   session socket (its session process)
 *     <- STARTED {result}             after NEW and FORKED
 *     -> ATTACH {lane}                make the lane's task
 *     -> BELL {lane} + eventfd        where its client sleeps
 *     -> REATTACH                     stop and reset all lanes
 *     <- PARKED                       they are
 *     -> SHARE                        there will be clients with credentials of
 *                                     their own
 *     -> CLEAR {lane: n}              the n-th client is gone: stop and reset
 *                                     its lanes
 *     <- CLEARED                      they are
 *     <- FORK {lane}                  a lane wants a child session
 *     -> FORKED {result, ...} + memory, socket
 *                                     as NEW; the child's id
 *     <- MAPPED {id: bytes} + file    for the client to map
 *     <- SIGNAL {signal}              for the owner of a file
 *     <- PARCEL {id} + memfd          for the client that exports
 *     -> GIVE {lane: number, row: n}  another client fetches a file
 *     <- GIVEN {id, row: n} + memfd, or {result, row: n}
 *   The end of a session socket is the end of the session.
 */
enum {
	USRCALL_READY = 1,
	USRCALL_NEW,
	USRCALL_STARTED,
	USRCALL_ATTACH,
	USRCALL_BELL,
	USRCALL_REATTACH,
	USRCALL_PARKED,
	USRCALL_FORK,
	USRCALL_FORKED,
	USRCALL_REPORT,
	USRCALL_MAPPED,
	USRCALL_SIGNAL,
	USRCALL_SHARE,
	USRCALL_CLEAR,
	USRCALL_CLEARED,
	USRCALL_PARCEL,
	USRCALL_GIVE,
	USRCALL_GIVEN,
};

/* abi::kParcelText; the id follows. */
#define USRCALL_PARCEL_TEXT \
	"mino: an offloaded file; receive it under `mino run`. id "

#define USRCALL_MAX_GROUPS 64u

/* Task numbers are those of the client's host, as the client sees them. */
struct usrcall_signal {
	int32_t number;
	int32_t code; /* si_code; SI_KERNEL: without band and fd */
	int64_t band;
	int32_t fd;
	uint32_t kind; /* USRCALL_OWNER_... */
	int32_t owner;
	int32_t client; /* the client that set it */
	uint32_t uid, euid; /* of that client, at that time */
};

struct usrcall_command {
	uint32_t type;
	uint32_t version;
	uint64_t id;
	int32_t result; /* 0 or -errno */
	uint32_t lane;
	uint32_t lane_count;
	uint32_t arena_bytes;
	uint32_t row; /* of the table of counters; GIVE, GIVEN: the question */
	uint32_t uid, gid;
	uint32_t group_count;
	uint64_t capabilities; /* permitted and effective, bit = number */
	uint32_t groups[USRCALL_MAX_GROUPS];
	union {
		char text[72];
		struct usrcall_signal signal;
	};
};

#endif
