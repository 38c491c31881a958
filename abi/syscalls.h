// SPDX-License-Identifier: Apache-2.0
//
// The one table of system calls (x86-64 numbers). A row says what the arguments are; windows, the
// native engine's marshalling, `mino trace`, the coverage page and the tests are all derived from
// it. Calls without a row run on the host. Adding a call is adding a row: see doc/add-a-syscall.md.
// Argument meaning follows the man pages (section 2) and, where those are silent, Linux 6.12's
// SYSCALL_DEFINEs.
//
// Columns: number, name, route, flags, what the call answers when the device is gone, arguments;
// then, where they are not the usual ones, support and a note for `mino syscalls`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "abi/shape.h"

namespace mino::abi {

namespace shorthand {  // Only to keep the rows readable.

constexpr Arg fd() {
  return {Kind::kFd, Print::kFd, {}, {}};
}
constexpr Arg val(Print print = Print::kDec) {
  return {Kind::kValue, print, {}, {}};
}
constexpr Arg hex() {
  return val(Print::kHex);
}
constexpr Arg path() {
  return {Kind::kPath, Print::kString, {}, {}};
}
constexpr Arg str() {
  return {Kind::kString, Print::kString, {}, {}};
}
constexpr Arg in(uint8_t count_arg, uint16_t unit = 1, Print print = Print::kData) {
  return {Kind::kIn, print, {Len::kArg, count_arg, unit}, {}};
}
constexpr Arg in_fixed(uint16_t bytes, Print print = Print::kStruct) {
  return {Kind::kIn, print, {Len::kFixed, 0, bytes}, {}};
}
constexpr Arg out(uint8_t count_arg, Wrote wrote = Wrote::kResult, uint16_t unit = 1,
                  Print print = Print::kData) {
  return {Kind::kOut, print, {Len::kArg, count_arg, unit}, wrote};
}
constexpr Arg out_fixed(uint16_t bytes, Print print = Print::kStruct) {
  return {Kind::kOut, print, {Len::kFixed, 0, bytes}, Wrote::kAll};
}
constexpr Arg inout_fixed(uint16_t bytes, Print print = Print::kStruct) {
  return {Kind::kInOut, print, {Len::kFixed, 0, bytes}, Wrote::kChanged};
}
constexpr Arg inout(uint8_t count_arg, uint16_t unit, Print print) {
  return {Kind::kInOut, print, {Len::kArg, count_arg, unit}, Wrote::kChanged};
}
// A buffer whose size stands behind a socklen_t pointer, and that pointer.
constexpr Arg out_socklen(uint8_t len_arg, Print print) {
  return {Kind::kOut, print, {Len::kSockLen, len_arg, 1}, Wrote::kSockLen};
}
constexpr Arg socklen() {
  return inout_fixed(4, Print::kStruct);
}
constexpr Arg iov_in(uint8_t count_arg) {
  return {Kind::kIovIn, Print::kIov, {Len::kArg, count_arg, 16}, {}};
}
constexpr Arg iov_out(uint8_t count_arg) {
  return {Kind::kIovOut, Print::kIov, {Len::kArg, count_arg, 16}, Wrote::kVector};
}
constexpr Arg msg_in() {
  return {Kind::kMsgIn, Print::kMsg, {}, {}};
}
constexpr Arg msg_out() {
  return {Kind::kMsgOut, Print::kMsg, {}, Wrote::kMsg};
}
constexpr Arg mmsg_in(uint8_t n) {
  return {Kind::kMmsgIn, Print::kMmsg, {Len::kArg, n, 64}, Wrote::kMsg};
}
constexpr Arg mmsg_out(uint8_t n) {
  return {Kind::kMmsgOut, Print::kMmsg, {Len::kArg, n, 64}, Wrote::kMsg};
}
constexpr Arg fdset(uint8_t n) {
  return {Kind::kFdSet, Print::kFdSet, {Len::kArg, n, 1}, Wrote::kChanged};
}
constexpr Arg host() {
  return {Kind::kHost, Print::kPointer, {}, {}};
}
constexpr Arg sockaddr_in(uint8_t n) {
  return in(n, 1, Print::kSockaddr);
}
constexpr Arg sockaddr_out(uint8_t n) {
  return out_socklen(n, Print::kSockaddr);
}
constexpr Arg timespec() {
  return in_fixed(16, Print::kTimespec);
}

}  // namespace shorthand

inline constexpr auto kSyscalls = [] {
  using namespace shorthand;
  using enum Route;
  using enum Support;
  using enum WhenDead;
  using P = Print;
  constexpr uint16_t kBlock = kMayBlock;
  constexpr uint16_t kSend = kMayBlock | kRaisesSigpipe;
  // clang-format off: one row a line.
  return std::to_array<Row>({
      // Bytes in and out of any file.
      {0, "read", kByFd, kBlock, kReset, {fd(), out(2), val()}},
      {1, "write", kByFd, kSend, kReset, {fd(), in(2), val()}},
      {17, "pread64", kByFd, kBlock, kReset, {fd(), out(2), val(), val()}},
      {18, "pwrite64", kByFd, kSend, kReset, {fd(), in(2), val(), val()}},
      {19, "readv", kByFd, kBlock, kReset, {fd(), iov_out(2), val()}},
      {20, "writev", kByFd, kSend, kReset, {fd(), iov_in(2), val()}},
      {295, "preadv", kByFd, kBlock, kReset, {fd(), iov_out(2), val(), val(), val()}},
      {296, "pwritev", kByFd, kSend, kReset, {fd(), iov_in(2), val(), val(), val()}},
      {327, "preadv2", kByFd, kBlock, kReset, {fd(), iov_out(2), val(), val(), val(), hex()}},
      {328, "pwritev2", kByFd, kSend, kReset, {fd(), iov_in(2), val(), val(), val(), hex()}},
      // Sockets.
      {41, "socket", kSocket, kMakesFd, kDown, {val(P::kFamily), val(P::kSockType), val(P::kProtocol)}},
      {53, "socketpair", kSocketPair, kMakesTwoFds, kDown, {val(P::kFamily), val(P::kSockType), val(P::kProtocol), out_fixed(8)}},
      {42, "connect", kByFd, kBlock, kDown, {fd(), sockaddr_in(2), val()}},
      {43, "accept", kByFd, kBlock | kMakesFd, kDown, {fd(), sockaddr_out(2), socklen()}},
      {288, "accept4", kByFd, kBlock | kMakesFd, kDown, {fd(), sockaddr_out(2), socklen(), val(P::kSockType)}},
      {44, "sendto", kByFd, kSend, kReset, {fd(), in(2), val(), val(P::kMsgFlags), sockaddr_in(5), val()}},
      {45, "recvfrom", kByFd, kBlock, kReset, {fd(), out(2), val(), val(P::kMsgFlags), sockaddr_out(5), socklen()}},
      {46, "sendmsg", kMessage, kSend, kReset, {fd(), msg_in(), val(P::kMsgFlags)}},
      {47, "recvmsg", kMessage, kBlock, kReset, {fd(), msg_out(), val(P::kMsgFlags)}},
      {307, "sendmmsg", kMessage, kSend, kReset, {fd(), mmsg_in(2), val(), val(P::kMsgFlags)}},
      {299, "recvmmsg", kMessage, kBlock, kReset, {fd(), mmsg_out(2), val(), val(P::kMsgFlags), inout_fixed(16, P::kTimespec)}},
      {48, "shutdown", kByFd, 0, kNotConn, {fd(), val(P::kHow)}},
      {49, "bind", kByFd, 0, kDown, {fd(), sockaddr_in(2), val()}},
      {50, "listen", kByFd, 0, kDown, {fd(), val()}},
      {51, "getsockname", kByFd, 0, kDown, {fd(), sockaddr_out(2), socklen()}},
      {52, "getpeername", kByFd, 0, kNotConn, {fd(), sockaddr_out(2), socklen()}},
      {54, "setsockopt", kByFd, kBlock, kDown, {fd(), val(P::kLevel), val(P::kOptName), {Kind::kOptIn, P::kOptValue, {Len::kArg, 4, 1}, {}}, val()}},
      {55, "getsockopt", kByFd, 0, kSoError, {fd(), val(P::kLevel), val(P::kOptName), {Kind::kInOut, P::kOptValue, {Len::kSockLen, 4, 1}, Wrote::kChanged}, socklen()}},
      // Descriptors.
      {3, "close", kClose, kBlock, kDone, {fd()}},
      {436, "close_range", kCloseRange, 0, kDown, {val(), val(), hex()}},
      {438, "pidfd_getfd", kFetch, 0, kDown, {fd(), val(P::kFd), hex()}},
      {32, "dup", kDup, kMakesFd, kDown, {fd()}},
      {33, "dup2", kDup, kMakesFd, kDown, {fd(), val()}},
      {292, "dup3", kDup, kMakesFd, kDown, {fd(), val(), val(P::kOpenFlags)}},
      {72, "fcntl", kFcntl, kBlock, kFileFlags, {fd(), val(P::kFcntlCmd), {Kind::kFcntl, P::kHex, {}, Wrote::kChanged}}},
      {16, "ioctl", kIoctl, kBlock, kDown, {fd(), val(P::kIoctl), {Kind::kIoctl, P::kPointer, {}, Wrote::kChanged}}},
      {9, "mmap", kMap, 0, kDown, {val(P::kPointer), val(), hex(), hex(), fd(), val()}, kPartial, "a packet socket's ring is mapped; a private mapping of a file is a copy; else ENODEV"},
      // Readiness.
      {7, "poll", kPoll, kBlock, kDown, {inout(1, 8, P::kPollfds), val(), val()}},
      {271, "ppoll", kPoll, kBlock, kDown, {inout(1, 8, P::kPollfds), val(), inout_fixed(16, P::kTimespec), host(), val()}},
      {23, "select", kSelect, kBlock, kDown, {val(), fdset(0), fdset(0), fdset(0), inout_fixed(16, P::kTimeval)}},
      {270, "pselect6", kSelect, kBlock, kDown, {val(), fdset(0), fdset(0), fdset(0), inout_fixed(16, P::kTimespec), {Kind::kSigmask, P::kPointer, {}, {}}}},
      {213, "epoll_create", kEpollCreate, kMakesFd, kDown, {val()}},
      {291, "epoll_create1", kEpollCreate, kMakesFd, kDown, {val(P::kOpenFlags)}},
      {233, "epoll_ctl", kEpollCtl, 0, kDown, {fd(), val(P::kEpollOp), val(P::kFd), in_fixed(12, P::kEpollEvent)}},
      {232, "epoll_wait", kEpollWait, kBlock, kDown, {fd(), out(2, Wrote::kUnits, 12, P::kEpollEvents), val(), val()}},
      {281, "epoll_pwait", kEpollWait, kBlock, kDown, {fd(), out(2, Wrote::kUnits, 12, P::kEpollEvents), val(), val(), host(), val()}},
      {441, "epoll_pwait2", kEpollWait, kBlock, kDown, {fd(), out(2, Wrote::kUnits, 12, P::kEpollEvents), val(), timespec(), host(), val()}},
      // Copies between files: one side may be local.
      {40, "sendfile", kCopy, kSend, kReset, {fd(), fd(), inout_fixed(8), val()}},
      {275, "splice", kCopy, kSend, kReset, {fd(), inout_fixed(8), fd(), inout_fixed(8), val(), val(P::kSpliceFlags)}},
      {276, "tee", kCopy, kSend, kDown, {fd(), fd(), val(), val(P::kSpliceFlags)}},
      {278, "vmsplice", kCopy, kSend, kDown, {fd(), iov_in(2), val(), val(P::kSpliceFlags)}},
      {326, "copy_file_range", kCopy, kBlock, kDown, {fd(), inout_fixed(8), fd(), inout_fixed(8), val(), hex()}},
      // Files, and paths under offloaded prefixes.
      {2, "open", kPath, kMakesFd | kMayBlock, kDown, {path(), val(P::kOpenFlags), val(P::kMode)}},
      {85, "creat", kPath, kMakesFd | kMayBlock, kDown, {path(), val(P::kMode)}},
      {257, "openat", kPath, kMakesFd | kMayBlock, kDown, {fd(), path(), val(P::kOpenFlags), val(P::kMode)}},
      {437, "openat2", kPath, kMakesFd | kMayBlock, kDown, {fd(), path(), in(3, 1, P::kStruct), val()}},
      {4, "stat", kPath, 0, kDown, {path(), out_fixed(144)}},
      {5, "fstat", kByFd, 0, kDown, {fd(), out_fixed(144)}},
      {6, "lstat", kPath, kKeepsLink, kDown, {path(), out_fixed(144)}},
      {262, "newfstatat", kPath, kFdMayBePath, kDown, {fd(), path(), out_fixed(144), val(P::kAtFlags)}},
      {332, "statx", kPath, kFdMayBePath, kDown, {fd(), path(), val(P::kAtFlags), hex(), out_fixed(256)}},
      {137, "statfs", kPath, 0, kDown, {path(), out_fixed(120)}},
      {138, "fstatfs", kByFd, 0, kDown, {fd(), out_fixed(120)}},
      {8, "lseek", kByFd, 0, kDown, {fd(), val(), val(P::kWhence)}},
      {78, "getdents", kByFd, 0, kDown, {fd(), out(2), val()}},
      {217, "getdents64", kByFd, 0, kDown, {fd(), out(2), val()}},
      {89, "readlink", kPath, kKeepsLink, kDown, {path(), out(2), val()}},
      {267, "readlinkat", kPath, kFdMayBePath | kKeepsLink, kDown, {fd(), path(), out(3), val()}},
      {21, "access", kPath, 0, kDown, {path(), val()}},
      {269, "faccessat", kPath, 0, kDown, {fd(), path(), val()}},
      {439, "faccessat2", kPath, kFdMayBePath, kDown, {fd(), path(), val(), val(P::kAtFlags)}},
      {74, "fsync", kByFd, kBlock, kDown, {fd()}},
      {75, "fdatasync", kByFd, kBlock, kDown, {fd()}},
      {277, "sync_file_range", kByFd, kBlock, kDown, {fd(), val(), val(), hex()}},
      {306, "syncfs", kByFd, kBlock, kDown, {fd()}},
      {221, "fadvise64", kByFd, 0, kDown, {fd(), val(), val(), val()}},
      {187, "readahead", kByFd, kBlock, kDown, {fd(), val(), val()}},
      {285, "fallocate", kByFd, kBlock, kDown, {fd(), hex(), val(), val()}},
      {77, "ftruncate", kByFd, 0, kDown, {fd(), val()}},
      {76, "truncate", kPath, 0, kDown, {path(), val()}},
      {73, "flock", kByFd, kBlock, kDown, {fd(), val()}},
      {91, "fchmod", kByFd, 0, kDown, {fd(), val(P::kMode)}},
      {93, "fchown", kByFd, 0, kDown, {fd(), val(), val()}},
      {90, "chmod", kPath, 0, kDown, {path(), val(P::kMode)}},
      {92, "chown", kPath, 0, kDown, {path(), val(), val()}},
      {94, "lchown", kPath, kKeepsLink, kDown, {path(), val(), val()}},
      {268, "fchmodat", kPath, 0, kDown, {fd(), path(), val(P::kMode)}},
      {452, "fchmodat2", kPath, kFdMayBePath, kDown, {fd(), path(), val(P::kMode), val(P::kAtFlags)}},
      {260, "fchownat", kPath, kFdMayBePath, kDown, {fd(), path(), val(), val(), val(P::kAtFlags)}},
      {83, "mkdir", kPath, kKeepsLink, kDown, {path(), val(P::kMode)}},
      {258, "mkdirat", kPath, kKeepsLink, kDown, {fd(), path(), val(P::kMode)}},
      {133, "mknod", kPath, kKeepsLink, kDown, {path(), val(P::kMode), hex()}},
      {259, "mknodat", kPath, kKeepsLink, kDown, {fd(), path(), val(P::kMode), hex()}},
      {84, "rmdir", kPath, kKeepsLink, kDown, {path()}},
      {87, "unlink", kPath, kKeepsLink, kDown, {path()}},
      {263, "unlinkat", kPath, kKeepsLink, kDown, {fd(), path(), val(P::kAtFlags)}},
      {82, "rename", kPathTwo, kKeepsLink, kDown, {path(), path()}},
      {264, "renameat", kPathTwo, kKeepsLink, kDown, {fd(), path(), fd(), path()}},
      {316, "renameat2", kPathTwo, kKeepsLink, kDown, {fd(), path(), fd(), path(), hex()}},
      {86, "link", kPathTwo, kKeepsLink, kDown, {path(), path()}},
      {265, "linkat", kPathTwo, kFdMayBePath | kKeepsLink, kDown, {fd(), path(), fd(), path(), val(P::kAtFlags)}},
      {88, "symlink", kPath, kKeepsLink, kDown, {str(), path()}, kFull, "routed by the new name"},
      {266, "symlinkat", kPath, kKeepsLink, kDown, {str(), fd(), path()}, kFull, "routed by the new name"},
      {132, "utime", kPath, 0, kDown, {path(), in_fixed(16)}},
      {165, "mount", kMount, 0, kDown, {str(), path(), val(P::kPointer), hex(), val(P::kPointer)}, kPartial, "routed by the mount point (linux engine)"},
      {166, "umount2", kMount, 0, kDown, {path(), hex()}},
      {235, "utimes", kPath, 0, kDown, {path(), in_fixed(32)}},
      {280, "utimensat", kPath, kFdMayBePath, kDown, {fd(), path(), in_fixed(32), val(P::kAtFlags)}},
      {80, "chdir", kCwd, 0, kDown, {path()}},
      {81, "fchdir", kCwd, 0, kDown, {fd()}},
      {79, "getcwd", kCwd, 0, kDown, {out(1), val()}},
      {191, "getxattr", kPath, 0, kDown, {path(), str(), out(3), val()}},
      {192, "lgetxattr", kPath, kKeepsLink, kDown, {path(), str(), out(3), val()}},
      {193, "fgetxattr", kByFd, 0, kDown, {fd(), str(), out(3), val()}},
      {194, "listxattr", kPath, 0, kDown, {path(), out(2), val()}},
      {195, "llistxattr", kPath, kKeepsLink, kDown, {path(), out(2), val()}},
      {196, "flistxattr", kByFd, 0, kDown, {fd(), out(2), val()}},
      {188, "setxattr", kPath, 0, kDown, {path(), str(), in(3), val(), val()}},
      {189, "lsetxattr", kPath, kKeepsLink, kDown, {path(), str(), in(3), val(), val()}},
      {190, "fsetxattr", kByFd, 0, kDown, {fd(), str(), in(3), val(), val()}},
      {197, "removexattr", kPath, 0, kDown, {path(), str()}},
      {198, "lremovexattr", kPath, kKeepsLink, kDown, {path(), str()}},
      {199, "fremovexattr", kByFd, 0, kDown, {fd(), str()}},
      {321, "bpf", kBpf, 0, kDown, {val(), inout(2, 1, P::kStruct), val()}, kPartial, "runs on the device with the linux engine, else on the host; maps cannot be mapped"},
      // Credentials follow the client.
      {105, "setuid", kMirror, 0, kDown, {val()}},
      {106, "setgid", kMirror, 0, kDown, {val()}},
      {113, "setreuid", kMirror, 0, kDown, {val(), val()}},
      {114, "setregid", kMirror, 0, kDown, {val(), val()}},
      {116, "setgroups", kMirror, 0, kDown, {val(), in(0, 4, P::kStruct)}},
      {117, "setresuid", kMirror, 0, kDown, {val(), val(), val()}},
      {119, "setresgid", kMirror, 0, kDown, {val(), val(), val()}},
      {122, "setfsuid", kMirror, 0, kDown, {val()}},
      {123, "setfsgid", kMirror, 0, kDown, {val()}},
      {126, "capset", kMirror, 0, kDown, {in_fixed(8), in_fixed(24)}},
      {95, "umask", kMirror, 0, kDown, {val(P::kMode)}},
      // Process life and signals: on the host, with the device kept in step.
      {56, "clone", kFork, 0, kDown, {hex(), val(P::kPointer), val(P::kPointer), val(P::kPointer), hex()}, kHost},
      {57, "fork", kFork, 0, kDown, {}, kHost},
      {58, "vfork", kFork, 0, kDown, {}, kHost},
      {435, "clone3", kFork, 0, kDown, {val(P::kPointer), val()}, kHost},
      {59, "execve", kExec, 0, kDown, {path(), val(P::kPointer), val(P::kPointer)}, kHost},
      {322, "execveat", kExec, 0, kDown, {fd(), path(), val(P::kPointer), val(P::kPointer), hex()}, kHost},
      {60, "exit", kExit, 0, kDown, {val()}, kHost},
      {231, "exit_group", kExit, 0, kDown, {val()}, kHost},
      {61, "wait4", kWait, kBlock, kDown, {val(), val(P::kPointer), hex(), val(P::kPointer)}, kHost},
      {247, "waitid", kWait, kBlock, kDown, {val(), val(), val(P::kPointer), hex(), val(P::kPointer)}, kHost},
      {13, "rt_sigaction", kSignal, 0, kDown, {val(), val(P::kPointer), val(P::kPointer), val()}, kHost},
      {14, "rt_sigprocmask", kSignal, 0, kDown, {val(), val(P::kPointer), val(P::kPointer), val()}, kHost},
      {15, "rt_sigreturn", kSignal, 0, kDown, {}, kHost},
      {127, "rt_sigpending", kSignal, 0, kDown, {val(P::kPointer), val()}, kHost},
      {128, "rt_sigtimedwait", kSignal, kBlock, kDown, {val(P::kPointer)}, kHost},
      {282, "signalfd", kSignal, 0, kDown, {val(P::kFd), val(P::kPointer), val()}, kHost},
      {289, "signalfd4", kSignal, 0, kDown, {val(P::kFd), val(P::kPointer), val(), hex()}, kHost},
      {130, "rt_sigsuspend", kSignal, kBlock, kDown, {val(P::kPointer), val()}, kHost},
      {131, "sigaltstack", kSignal, 0, kDown, {val(P::kPointer), val(P::kPointer)}, kHost},
      {317, "seccomp", kGuard, 0, kDown, {val(), hex(), val(P::kPointer)}, kHost},
      {158, "arch_prctl", kGuard, 0, kDown, {val(), hex()}, kHost},
      {157, "prctl", kGuard, 0, kDown, {val(), hex(), hex(), hex(), hex()}, kHost},
      {11, "munmap", kGuard, 0, kDown, {val(P::kPointer), val()}, kHost},
      // What can bring text that has not been scanned (hook/catch/disarm.h).
      {10, "mprotect", kText, 0, kDown, {val(P::kPointer), val(), hex()}, kHost},
      {25, "mremap", kText, 0, kDown, {val(P::kPointer), val(), val(), hex(), val(P::kPointer)}, kHost},
      {28, "madvise", kText, 0, kDown, {val(P::kPointer), val(), val()}, kHost},
      {30, "shmat", kText, 0, kDown, {val(), val(P::kPointer), hex()}, kHost},
      {135, "personality", kText, 0, kDown, {hex()}, kHost},
      {329, "pkey_mprotect", kText, 0, kDown, {val(P::kPointer), val(), hex(), val()}, kHost},
      {101, "ptrace", kGuard, 0, kDown, {val(), val(), val(P::kPointer), val(P::kPointer)}, kHost},
      {62, "kill", kGuard, 0, kDown, {val(), val()}, kHost},
      {200, "tkill", kGuard, 0, kDown, {val(), val()}, kHost},
      {234, "tgkill", kGuard, 0, kDown, {val(), val(), val()}, kHost},
      {161, "chroot", kGuard, 0, kDown, {path()}, kHost},
      {272, "unshare", kGuard, 0, kDown, {hex()}, kPartial, "a new network namespace is made on the device (linux engine), all others on the host"},
      {160, "setrlimit", kGuard, 0, kDown, {val(), val(P::kPointer)}, kHost},
      {302, "prlimit64", kGuard, 0, kDown, {val(), val(), val(P::kPointer), val(P::kPointer)}, kHost},
      {308, "setns", kGuard, 0, kDown, {fd(), hex()}, kPartial, "by descriptor (linux engine); else on the host"},
      // Not carried.
      {425, "io_uring_setup", kRefuse, 0, kDown, {val(), val(P::kPointer)}, kNone, "ENOSYS, so that programs fall back to epoll"},
  });
  // clang-format on
}();

inline constexpr uint32_t kSyscallLimit = 512;  // numbers at and above this are never in the table

// Row index by number, or 0xff; built at compile time so that a look-up is one load.
inline constexpr auto kRowIndex = [] {
  std::array<uint8_t, kSyscallLimit> index{};
  index.fill(0xff);
  for (size_t i = 0; i < kSyscalls.size(); i++) index[kSyscalls[i].nr] = static_cast<uint8_t>(i);
  return index;
}();
static_assert(kSyscalls.size() < 0xff);

constexpr const Row* find_row(uint64_t nr) {
  if (nr >= kSyscallLimit || kRowIndex[nr] == 0xff) return nullptr;
  return &kSyscalls[kRowIndex[nr]];
}

}  // namespace mino::abi
