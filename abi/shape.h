// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary in which abi/syscalls.h describes a system call: what each argument is, how long
// the memory behind it is, how much of it the kernel writes, and how the call is routed. Pure data:
// hook/ derives windows from it, engine/native/ marshals by it, cli/ prints by it. A new kind of
// argument is added here and in walk.h.
#pragma once

#include <cstdint>

namespace mino::abi {

enum class Kind : uint8_t {
  kNone,     // the first three are not memory, and stay first
  kValue,    // a number
  kFd,       // a file descriptor; the first one of a row decides where kByFd rows run
  kPath,     // NUL-terminated path: it decides where a row of the route kPath runs
  kString,   // NUL-terminated string that is no path: the name of an attribute, a link's content
  kIn,       // memory the kernel reads; `len` says how much
  kOut,      // memory the kernel writes
  kInOut,    // both
  kIovIn,    // struct iovec[], element count in argument `len.arg`; the kernel reads the buffers
  kIovOut,   // like kIovIn, but the kernel writes the buffers
  kMsgIn,    // struct msghdr of sendmsg
  kMsgOut,   // struct msghdr of recvmsg
  kMmsgIn,   // struct mmsghdr[] of sendmmsg, count in argument `len.arg`
  kMmsgOut,  // struct mmsghdr[] of recvmmsg, count in argument `len.arg`
  kFdSet,    // fd_set read and written, number of bits in argument `len.arg`
  kIoctl,    // value or pointer, as the request in argument 1 says (abi/ioctl.h)
  kFcntl,    // value or pointer, as the command in argument 1 says
  kOptIn,    // setsockopt value (argument 4 = bytes), which may hold a pointer itself
  kSigmask,  // pselect6's {pointer, size} pair: applied on the host, never sent
  kHost,     // a pointer that only the host uses (a signal mask): the device gets NULL
};

// How many bytes a pointer points to.
struct Len {
  enum How : uint8_t { kFixed, kArg, kSockLen } how = kFixed;
  uint8_t arg = 0;    // kArg: the argument that counts; kSockLen: the one that points to the length
  uint16_t unit = 0;  // kFixed: bytes; kArg: bytes per count
};

// How many of them the kernel has written when the call has returned `result`.
enum class Wrote : uint8_t {
  kAll,      // all, if the call succeeded
  kResult,   // result bytes
  kUnits,    // result * len.unit bytes
  kVector,   // result bytes spread over the vector's buffers in order
  kSockLen,  // as much as the length behind the pointer says, cut to the buffer
  kChanged,  // whatever differs afterwards (structures the kernel updates in part)
  kMsg,      // msghdr fields: msg_namelen, msg_controllen, msg_flags (and msg_len of mmsghdr)
};

// How `mino trace` shows a value.
enum class Print : uint8_t {
  kDec,
  kHex,
  kFd,
  kPointer,
  kData,
  kString,
  kSockaddr,
  kFamily,
  kSockType,
  kProtocol,
  kMsgFlags,
  kOpenFlags,
  kMode,
  kAtFlags,
  kLevel,
  kOptName,
  kOptValue,
  kEpollOp,
  kEpollEvent,
  kEpollEvents,
  kPollfds,
  kTimespec,
  kTimeval,
  kIov,
  kMsg,
  kMmsg,
  kFdSet,
  kIoctl,
  kFcntlCmd,
  kHow,
  kWhence,
  kSpliceFlags,
  kStruct,
};

struct Arg {
  Kind kind = Kind::kNone;
  Print print = Print::kDec;
  Len len{};
  Wrote wrote = Wrote::kAll;
};

// Who decides where a call runs, and how. hook/ has one handler per route.
enum class Route : uint8_t {
  kByFd,    // offloaded if the row's first kFd is
  kSocket,  // by address family (and netlink protocol)
  kSocketPair,
  kPath,     // by path prefix, or by dirfd for a relative path
  kMount,    // as kPath, on a device that can make namespaces
  kPathTwo,  // two paths; both sides must agree, else EXDEV
  kCwd,      // chdir, fchdir, getcwd
  kClose,
  kCloseRange,
  kDup,
  kFcntl,
  kIoctl,
  kEpollCreate,
  kEpollCtl,
  kEpollWait,
  kPoll,
  kSelect,
  kCopy,     // sendfile, splice and the like: may cross the border
  kMessage,  // sendmsg/recvmsg families: by fd; a local one may pass descriptors
  kFetch,    // pidfd_getfd: from another program, which may have a session of its own
  kFork,
  kExec,
  kExit,
  kSignal,  // rt_sigaction, rt_sigprocmask, …: emulated on the host
  kMirror,  // credentials: done on the host, then repeated on the device
  kMap,     // mmap: by fd; of offloaded files, packet rings can be mapped
  kBpf,     // on a device with a kernel of its own
  kText,    // mprotect and the like: on the host, but may bring in text that the hook has to scan
  kGuard,   // prctl, arch_prctl and the like: checked, then done on the host
  kWait,    // wait4, waitid: on the host; then until the child's session has ended as well
  kRefuse,  // ENOSYS, so that programs fall back (io_uring)
};

// Calls that would change the calling process itself. No device executes them.
constexpr bool stays_on_host(Route route) {
  switch (route) {
    case Route::kFetch:
    case Route::kFork:
    case Route::kExec:
    case Route::kExit:
    case Route::kSignal:
    case Route::kMap:
    case Route::kText:
    case Route::kGuard:
    case Route::kWait:
    case Route::kRefuse:
      return true;
    default:
      return false;
  }
}

enum RowFlags : uint16_t {
  kMayBlock = 1,
  kMakesFd = 2,        // the result is a new file descriptor (install_fd)
  kMakesTwoFds = 4,    // writes two descriptors (socketpair)
  kRaisesSigpipe = 8,  // EPIPE raises SIGPIPE in the client, unless MSG_NOSIGNAL
  kFdMayBePath = 16,   // AT_EMPTY_PATH and the like: the path may be empty or NULL
  kKeepsLink = 32,     // a symbolic link at the end of a path is not followed
};

// What a call on an offloaded file answers when the device is gone: what Linux would answer on a
// connection that was reset.
enum class WhenDead : uint8_t {
  kDown,       // ENETDOWN
  kReset,      // ECONNRESET
  kNotConn,    // ENOTCONN
  kDone,       // success
  kSoError,    // getsockopt: SO_ERROR is ECONNRESET; all else as kDown
  kFileFlags,  // fcntl: F_GETFL is O_RDWR; all else succeeds
};

enum class Support : uint8_t { kFull, kPartial, kHost, kNone };

struct Row {
  uint16_t nr = 0;
  const char* name = nullptr;
  Route route = Route::kByFd;
  uint16_t flags = 0;
  WhenDead when_dead = WhenDead::kDown;
  Arg args[6]{};
  Support support = Support::kFull;
  const char* note = "";
};

}  // namespace mino::abi
