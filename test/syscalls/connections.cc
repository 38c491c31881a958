// SPDX-License-Identifier: Apache-2.0
//
// connect and accept: addresses, flags, the order of arrival, and what happens when nobody answers.

#include "loopback.h"

TEST(accept_addresses) {
  int from = listener();
  int client = connected_to(from);
  sockaddr_in client_name = name_of(client), peer = {};
  socklen_t length = sizeof peer;
  int server = OK(accept(from, generic(&peer), &length));
  EXPECT_EQ(length, sizeof peer);
  EXPECT(memcmp(&peer, &client_name, sizeof peer) == 0);
  length = sizeof peer;
  EXPECT_EQ(getpeername(server, generic(&peer), &length), 0);
  EXPECT(memcmp(&peer, &client_name, sizeof peer) == 0);
  // A short buffer gets the part that fits, and the true length.
  for (socklen_t room : {0u, 2u, 8u}) {
    unsigned char bytes[32];
    memset(bytes, 0xee, sizeof bytes);
    length = room;
    EXPECT_EQ(getpeername(server, generic(bytes), &length), 0);
    EXPECT_EQ(length, sizeof peer);
    EXPECT(memcmp(bytes, &client_name, room) == 0);
    EXPECT_EQ(bytes[room], 0xee);
  }
  length = 0xffffffff;
  EXPECT_ERR(getpeername(server, generic(&peer), &length), EINVAL);
  EXPECT_ERR(getsockname(server, generic(&peer), &length), EINVAL);
  int second = connected_to(from);
  length = 3;
  int accepted = OK(accept(from, generic(&peer), &length));
  EXPECT_EQ(length, sizeof peer);
  EXPECT(pair_works({second, accepted}));
}

TEST(accept4_flags) {
  int from = listener(SOCK_NONBLOCK | SOCK_CLOEXEC);
  int clients[4];
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK), static_cast<int>(SOCK_CLOEXEC),
                    SOCK_NONBLOCK | SOCK_CLOEXEC}) {
    clients[0] = connected_to(from);
    EXPECT(readable(from));
    int fd = OK(accept4(from, nullptr, nullptr, flags));
    EXPECT_EQ(fcntl(fd, F_GETFD), flags & SOCK_CLOEXEC ? FD_CLOEXEC : 0);
    EXPECT_EQ(fcntl(fd, F_GETFL), flags & SOCK_NONBLOCK ? O_RDWR | O_NONBLOCK : O_RDWR);
    close(fd);
    close(clients[0]);
  }
}

TEST(many_accepts) {
  int from = listener(0, 16);
  int clients[16];
  for (int& fd : clients) fd = connected_to(from);
  for (int client : clients) {
    int server = OK(accept(from, nullptr, nullptr));
    sockaddr_in peer = {};
    socklen_t length = sizeof peer;
    EXPECT_EQ(getpeername(server, generic(&peer), &length), 0);
    EXPECT_EQ(peer.sin_port, name_of(client).sin_port);  // in the order of their connects
    EXPECT(pair_works({client, server}));
    close(server);
  }
}

TEST(connect_errors) {
  int closed = bound(SOCK_STREAM, loopback());  // bound, but nobody listens
  sockaddr_in address = name_of(closed);
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), ECONNREFUSED);
  EXPECT_ERR(connect(fd, generic(&address), sizeof address - 1), EINVAL);
  EXPECT_ERR(connect(fd, generic(&address), 1), EINVAL);
  sockaddr_in odd = address;
  odd.sin_family = AF_UNIX;
  EXPECT_ERR(connect(fd, generic(&odd), sizeof odd), EAFNOSUPPORT);
  EXPECT_ERR(connect(-1, generic(&address), sizeof address), EBADF);
  EXPECT_EQ(listen(closed, 1), 0);
  EXPECT_EQ(connect(fd, generic(&address), sizeof address), 0);
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EISCONN);
  EXPECT_ERR(connect(closed, generic(&address), sizeof address), EISCONN);
  EXPECT_ERR(listen(fd, 1), EINVAL);
}

TEST(connect_without_waiting) {
  int from = listener();
  sockaddr_in address = name_of(from);
  int fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EINPROGRESS);
  EXPECT_EQ(events_of(fd, POLLOUT, 5000), POLLOUT);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
  EXPECT_EQ(connect(fd, generic(&address), sizeof address), 0);
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EISCONN);
  close(from);
  int refused = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_ERR(connect(refused, generic(&address), sizeof address), EINPROGRESS);
  EXPECT_EQ(events_of(refused, POLLOUT, 5000), POLLOUT | POLLERR | POLLHUP);
  EXPECT_EQ(option(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  EXPECT_EQ(option(refused, SOL_SOCKET, SO_ERROR), 0);
}

TEST(connect_to_full_backlog) {
  int from = listener(0, 0);
  sockaddr_in address = name_of(from);
  int waiting[3];
  for (int& fd : waiting) {
    fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    EXPECT_ERR(connect(fd, generic(&address), sizeof address), EINPROGRESS);
  }
  EXPECT_EQ(events_of(waiting[0], POLLOUT, 1000), POLLOUT);
  // The queue holds one more than the backlog; the third handshake gets no answer.
  EXPECT_EQ(events_of(waiting[2], POLLOUT, 20), 0);
  EXPECT_ERR(connect(waiting[2], generic(&address), sizeof address), EALREADY);
  EXPECT_ERR(send(waiting[2], "x", 1, MSG_NOSIGNAL), EAGAIN);
  EXPECT_ERR(recv(waiting[2], &address, 1, 0), EAGAIN);
}
