// SPDX-License-Identifier: Apache-2.0
//
// The kernel's constants and structures, under the kernel's own names. They come from its headers
// for programs, which need no libc; what those lack is defined here. Everything in hook/ that talks
// to the kernel uses them. No other file of hook/ may give a constant of the kernel a name or a
// number.
//
// hook/base/uapi_test.cc compares the lines "#define NAME VALUE" below with libc's headers. Names
// that libc lacks too are in the test's list of exceptions.
#pragma once

#include <asm-generic/signal-defs.h>
#include <asm/hwcap2.h>
#include <asm/ioctls.h>
#include <asm/prctl.h>
#include <asm/resource.h>
#include <asm/siginfo.h>
#include <asm/socket.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/unistd_64.h>
#include <linux/audit.h>
#include <linux/auxvec.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/personality.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/signalfd.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <linux/tcp.h>
#include <linux/uio.h>
#include <linux/un.h>
#include <linux/wait.h>
#include <linux/xattr.h>

// include/linux/socket.h and net.h, which are not among the headers for programs
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_CLOEXEC 02000000
#define SOL_TCP 6
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define MSG_PEEK 2
#define MSG_DONTWAIT 0x40
#define MSG_NOSIGNAL 0x4000
#define MSG_MORE 0x8000
#define MSG_CMSG_CLOEXEC 0x40000000

// include/linux/{splice,eventfd,statfs,fs}.h, include/uapi/linux/shm.h (which needs libc's types)
#define SPLICE_F_MOVE 1
#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_MORE 4
#define SPLICE_F_GIFT 8
#define EFD_CLOEXEC 02000000
#define EFD_NONBLOCK 04000
#define SHM_EXEC 0100000
#define ST_VALID 0x20
#define MAX_RW_COUNT 0x7ffff000
#define MAX_ARG_STRLEN 131072

// arch/x86/include/uapi/asm/signal.h and include/uapi/linux/signal.h. They cannot be included: they
// define sigset_t, which <atomic> brings in as well.
#define SIGINT 2
#define SIGQUIT 3
#define SIGILL 4
#define SIGBUS 7
#define SIGKILL 9
#define SIGSEGV 11
#define SIGPIPE 13
#define SIGCHLD 17
#define SIGSTOP 19
#define SIGSYS 31
#define SA_RESTORER 0x04000000
#define SS_ONSTACK 1
#define SS_DISABLE 2
#define SS_AUTODISARM (1u << 31)

// include/uapi/linux/wireless.h. It cannot be included: it includes headers of libc.
#define SIOCIWFIRST 0x8B00
#define SIOCIWLAST 0x8BFF

// include/uapi/linux/time.h. It cannot be included: it defines struct timespec, which <atomic>
// brings in as well.
#define CLOCK_MONOTONIC 1

// include/uapi/linux/stat.h, which hides these from a file that has included a header of glibc
#ifndef S_IFMT
#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFIFO 0010000
#define S_ISUID 04000
#define S_ISGID 02000
#endif

// include/net/nl802154.h, which is not among the headers for programs
#define NL802154_ATTR_PID 28
#define NL802154_ATTR_NETNS_FD 29

// The arguments of access(2). The kernel uses its MAY_… bits for them.
#define X_OK 1
#define W_OK 2
#define R_OK 4

// Newer than Debian 12's headers
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#define BPF_TOKEN_CREATE 36  // an enumerator there
#ifndef PROCMAP_QUERY        // newer headers have the other three as enumerators
#define PROCMAP_QUERY 0xc0686611
#define PROCMAP_QUERY_VMA_READABLE 1
#define PROCMAP_QUERY_VMA_EXECUTABLE 4
#define PROCMAP_QUERY_COVERING_OR_NEXT_VMA 0x10
#endif
