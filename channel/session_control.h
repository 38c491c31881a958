// SPDX-License-Identifier: Apache-2.0
//
// The loop of a session's process: it takes the control messages on the session's socket, sees the
// client and minod end, and decides who may attach, cancel, join and fork. It knows no engine: what
// serves the session derives from it and says what a message means there (engine/native/control.h,
// engine/linux/session.h). It never blocks on anything but its epoll set, so that nothing a client
// does can keep the process alive.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "channel/session_memory.h"
#include "channel/session_socket.h"
#include "channel/session_stats.h"

namespace mino {

// Exit statuses of a session's process, for minod's log.
inline constexpr int kClientGone = 0;
inline constexpr int kOutOfResources = 3;
inline constexpr int kBrokenClient = 4;

class SessionControl {
 public:
  // Takes over the descriptors. `client` is a pidfd, or invalid until Adopt.
  SessionControl(SessionMemory& memory, SessionStats& stats, const StatsTable& table, Fd socket,
                 Fd minod, Fd client);
  virtual ~SessionControl() = default;
  SessionControl(const SessionControl&) = delete;
  SessionControl& operator=(const SessionControl&) = delete;

  bool valid() const { return epoll_.valid(); }
  bool welcome();
  // Serves until the session ends. Returns the exit status of the process.
  int run();

 protected:
  // False ends the session: the client broke the contract.
  virtual bool attach(uint32_t lane) = 0;
  virtual bool bell(uint32_t lane, Fd file) = 0;
  virtual bool cancel(uint32_t lane, uint32_t turn) = 0;
  // Several processes will share the client's descriptor table, each with its own credentials.
  virtual bool share() = 0;
  // One of them has died: its lanes are stopped and reset. Then the engine says cleared().
  virtual bool clear(uint32_t number) = 0;
  // The client's new image waits for welcome(), which comes when no lane runs the old one's calls.
  virtual bool begin_reattach() = 0;
  // Another client has got hold of the session's socket by pidfd_getfd, and whoever may do that may
  // have its files. A parcel of file `number`, or the error, goes to `asker`.
  virtual bool give(uint32_t number, Fd asker) = 0;

  // A descriptor given to watch() is readable or has hung up. An exit status ends the session.
  virtual int ready(int fd) = 0;
  // Called after every round of events. Says when to look again (milliseconds, -1: never), or
  // kEnded.
  virtual int after_events(bool any) = 0;
  static constexpr int kServing = -1;
  static constexpr int kEnded = -2;
  static constexpr size_t kMaxAskers = 64;  // of give(), at a time

  bool watch(int fd);
  void cleared(uint32_t number);
  int socket() const { return socket_.get(); }
  int minod() const { return minod_.get(); }
  // The pidfd of this one of several clients, or of the only one; -1 if there is none.
  int client(int32_t pid) const;
  bool has_client(int32_t pid) const;  // one of several

 private:
  bool handle(Incoming& incoming);
  bool adopt(const Incoming& incoming);
  void take_name(const Incoming& incoming);
  int message_arrived(bool hung_up);
  bool answer_reaped();
  bool begin_sharing();
  bool join(const Incoming& incoming);
  bool client_ended(int fd);

  SessionMemory& memory_;
  SessionStats& stats_;
  const StatsTable& table_;
  int32_t reaped_ = 0;         // the pid whose session the client waits for, or 0
  uint64_t reaped_since_ = 0;  // ms
  Fd socket_, minod_, client_, epoll_;

  // Clients of a shared session, client_ among them; the session ends with its socket.
  struct Client {
    Fd process;  // pidfd, or invalid while its lanes are being cleared
    int32_t pid;
    uint32_t number;
  };
  bool shared_ = false;
  std::vector<Client> clients_;
};

// Answers Op::kMap: what the client must map, and its size (0: the file itself knows).
bool post_mapped(int socket, int file, uint64_t bytes);

// Beside the answer to Op::kExport: what stands for the file on its way, and the export's id. When
// the client knows that it is sent, the device has closed its own descriptor of it.
bool post_parcel(int socket, Fd parcel, uint64_t id);
// Sends -errno instead.
bool refuse_parcel(int socket, int64_t error);

// The pidfd of a connected peer: from the kernel if it can (Linux 6.5), else by the peer's pid.
Fd pidfd_of_peer(int socket, int pid);

// Tells the client that its session cannot start, and the log why. Returns kOutOfResources.
int refuse_session(int socket, const Error& why);

// True if there is no room for a child's session. The client has then been told why.
bool refuse_child(int socket, const StatsTable& table, const SessionStats& parent);

// In the process that will serve the child: a row with the parent's name, until Adopt brings a
// better one. nullptr if there is no room any more.
SessionStats* claim_child_row(StatsTable& table, const SessionStats& parent, uint64_t session_id);

// Tells the parent's client where its child's session is. `end` is the child's end of its socket.
bool announce_child(int socket, const SessionMemory& child, int end);

}  // namespace mino
