// SPDX-License-Identifier: Apache-2.0
//
// Control messages: what travels beside session memory, on one AF_UNIX SOCK_SEQPACKET connection
// per session (shm transport). A message is one fixed-size datagram; file descriptors ride along as
// SCM_RIGHTS. The client connects to minod's socket. The same connection then belongs to the
// session's proxy, so that holding the descriptor is the authority over the session: it survives
// exec, and a fork hands out a new one. Used by hook/device/, channel/, engine/ and daemon/. A
// message never names client memory: that travels in session memory alone.
//
//   client                                   device
//   Hello {version, arena, lanes}        ->  minod: peer credentials, quota; forks the proxy
//                                        <-  Welcome {id, lanes, arena} + memfd, or Refuse {text}
//   AttachLane {lane}                    ->  proxy: starts (or finds) the lane's thread, which sets
//                                            `attached`
//   Bell {lane} + eventfd                ->  where to wake this lane's client in a mixed wait
//   Cancel {lane, turn}                  ->  interrupts that call, if it still runs
//   (Op::kFork on a ring)                <-  Child {id} + its socket + its memfd,
//                                            or Refuse {text}, and EAGAIN on the ring
//   Adopt {}, on the child's socket      ->  the sender (its pid by SCM_CREDENTIALS) is now this
//                                            session's client
//   Reattach {}, after exec              ->  lanes are stopped and reset
//                                        <-  Welcome + memfd
//   Share {}, before a process shares    ->  several processes will be this session's clients: it
//   the descriptor table                     ends with its socket, not with one of them
//                                        <-  Share
//   Join {n}, by that process            ->  the sender is the n-th of them; when it has died, its
//                                            lanes are stopped and reset
//   Reaped {pid}                         ->  waits until that child's session has ended
//                                        <-  Reaped
//   (Op::kMap on a ring)                 <-  Mapped {bytes} + what to map
//   (Op::kExport on a ring)              <-  Parcel {id} + what stands for the file
//                                        <-  Settle: the parcel is the receiver's alone
//   Fetch {n} + a socket                 ->  sent by another client that got hold of this end: it
//                                            asks for file n
//   (on the socket that came)            <-  Parcel and Settle, or Parcel {0, errno}
//
//   proxy, on a connection of its own        minod
//   Export {} + fd                       ->  keeps the file (from a client: only what it may lend,
//                                            hook/calls/lent_files.h)
//                                        <-  Exchanged {id} + parcel
//   Import {id}                          ->  looks for the file
//                                        <-  Exchanged {id} + fd
//   Settle {id}                          ->  drops the file, if its parcel is open nowhere any more
//                                        <-  Exchanged {}
//
// Rejected: tokens in the environment. They leak, and a socket path is out of reach after chroot.
#pragma once

#include <cstdint>

#include "abi/limits.h"

namespace mino::abi {

enum class MessageType : uint32_t {
  kHello = 1,
  kWelcome,
  kRefuse,
  kAttachLane,
  kBell,
  kCancel,
  kChild,
  kAdopt,
  kReattach,
  kExport,
  kImport,
  kExchanged,  // between a proxy and minod: open files on their way to another session
  kReaped,     // a child has been waited for; the answer comes when its session has ended
  kMapped,     // a file that the client may map in place of its own
  kShare,      // there will be more clients with the same descriptor table; answered
  kJoin,       // the sender is one of these clients
  kParcel,     // what the client passes on in place of an exported file (abi/parcel.h)
  kSettle,     // a parcel's descriptor is closed: a proxy tells minod, or the device tells a client
  kFetch,      // pidfd_getfd by another client (hook/calls/pidfd_getfd.cc)
};

// Why a client was not admitted; the text in the message names the limit or the remedy.
enum class RefuseReason : uint32_t { kVersion = 1, kFull, kCredentials, kBadRequest, kInternal };

struct Message {
  uint32_t magic = kMessageMagic;
  MessageType type{};
  uint32_t version = kVersion;
  uint32_t lane = 0;         // AttachLane, Bell, Cancel
  uint32_t turn = 0;         // Cancel; Reaped: the child's pid; Hello: 1 + kernel instance, or 0;
                             // Join: which client; Fetch: file; Parcel: errno
  uint32_t lane_count = 0;   // Hello (wish, 0 = default), Welcome, Child
  uint32_t arena_bytes = 0;  // Hello (wish, 0 = default), Welcome, Child
  RefuseReason reason{};     // Refuse
  uint64_t session_id = 0;   // Welcome, Child; Import, Settle, Exchanged, Parcel: the export's id;
                             // Mapped: bytes, or 0 if the file itself knows
  char text[216] = {};       // Refuse: one line for the user. Hello: the program's name (comm)

  static constexpr uint32_t kMessageMagic = 0x4f4e494d;
};
static_assert(sizeof(Message) == 256);

}  // namespace mino::abi
