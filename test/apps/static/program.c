// SPDX-License-Identifier: Apache-2.0

// A static program built against musl, for test/apps/static_programs.py: threads, poll, names,
// fork, exec, cancellation. "self" prints lines that are the same wherever it runs.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { kThreads = 4, kConnections = 64, kReadyToCancelUs = 30000, kInherited = 100 };

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, " (errno: %s)\n", strerror(errno));
  exit(1);
}

static int check(long result, const char *what) {
  if (result < 0) die("%s", what);
  return (int)result;
}

static int listen_at(uint32_t address, int port) {
  struct sockaddr_in name = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
  int fd = check(socket(AF_INET, SOCK_STREAM, 0), "socket"), on = 1;
  check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  check(bind(fd, (struct sockaddr *)&name, sizeof name), "bind");
  check(listen(fd, 128), "listen");
  return fd;
}

static int port_of(int fd) {
  struct sockaddr_in name;
  socklen_t length = sizeof name;
  check(getsockname(fd, (struct sockaddr *)&name, &length), "getsockname");
  return ntohs(name.sin_port);
}

static int connect_to(const char *host, int port) {
  char service[16];
  snprintf(service, sizeof service, "%d", port);
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  int error = getaddrinfo(host, service, &hints, &found);
  if (error) die("getaddrinfo of %s: %s", host, gai_strerror(error));
  int fd = check(socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol),
                 "socket");
  if (connect(fd, found->ai_addr, found->ai_addrlen) < 0) die("connect to %s:%d", host, port);
  freeaddrinfo(found);
  return fd;
}

static void write_all(int fd, const char *data, size_t length) {
  while (length) {
    ssize_t count = write(fd, data, length);
    if (count < 0) die("write");
    data += count;
    length -= count;
  }
}

// serve: threads that each poll the listening socket and their own connections, and echo.

struct server {
  int listener, stop;
};

static void *serve(void *argument) {
  const struct server *server = argument;
  struct pollfd set[kConnections] = {{server->listener, POLLIN, 0}, {server->stop, POLLIN, 0}};
  int count = 2;
  char buffer[30000];
  for (;;) {
    if (poll(set, count, -1) < 0 && errno == EINTR) continue;  // setuid in another thread
    if (set[1].revents) break;
    for (int i = count - 1; i >= 2; i--) {
      if (!set[i].revents) continue;
      ssize_t got = read(set[i].fd, buffer, sizeof buffer);
      if (got > 0) {
        write_all(set[i].fd, buffer, got);
      } else {
        close(set[i].fd);
        set[i] = set[--count];
      }
    }
    if (set[0].revents && count < kConnections) {
      int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
      if (fd >= 0) set[count++] = (struct pollfd){fd, POLLIN, 0};
      else if (errno != EAGAIN && errno != ECONNABORTED) die("accept4");
    }
  }
  while (count > 2) close(set[--count].fd);
  return NULL;
}

static void start_server(struct server *server, int listener, pthread_t *threads, int *stop_end) {
  int ends[2];
  check(pipe2(ends, O_CLOEXEC), "pipe2");
  check(fcntl(listener, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
  *server = (struct server){listener, ends[0]};
  *stop_end = ends[1];
  for (int i = 0; i < kThreads; i++) {
    if (pthread_create(&threads[i], NULL, serve, server)) die("pthread_create");
  }
}

static void stop_server(pthread_t *threads, int stop_end) {
  close(stop_end);
  for (int i = 0; i < kThreads; i++) pthread_join(threads[i], NULL);
}

static int role_serve(int port) {
  struct server server;
  pthread_t threads[kThreads];
  int stop_end, number;
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, NULL);
  signal(SIGPIPE, SIG_IGN);
  start_server(&server, listen_at(INADDR_ANY, port), threads, &stop_end);
  puts("listening");
  fflush(stdout);
  sigwait(&terminate, &number);
  stop_server(threads, stop_end);
  return 7;
}

// client: sends as another thread receives.

struct exchange {
  const char *host;
  int port, fd;
  size_t length;
  char *body;
  int right;
};

static void *send_body(void *argument) {
  const struct exchange *exchange = argument;
  write_all(exchange->fd, exchange->body, exchange->length);
  shutdown(exchange->fd, SHUT_WR);
  return NULL;
}

static void *exchange(void *argument) {
  struct exchange *exchange = argument;
  char *back = malloc(exchange->length + 1);
  exchange->body = malloc(exchange->length + 1);
  for (size_t i = 0; i < exchange->length; i++) exchange->body[i] = (char)(i * 7 + i / 251);
  exchange->fd = connect_to(exchange->host, exchange->port);
  pthread_t sender;
  if (pthread_create(&sender, NULL, send_body, exchange)) die("pthread_create");
  size_t received = 0;
  ssize_t count;
  while ((count = read(exchange->fd, back + received, exchange->length + 1 - received)) > 0)
    received += count;
  check(count, "read");
  pthread_join(sender, NULL);
  close(exchange->fd);
  exchange->right = received == exchange->length && !memcmp(back, exchange->body, received);
  free(back);
  free(exchange->body);
  return NULL;
}

// Four at a time, of growing lengths. Returns how many came back as they were sent.
static int exchanges(const char *host, int port, int count) {
  int right = 0;
  for (int at = 0; at < count; at += kThreads) {
    pthread_t threads[kThreads];
    struct exchange all[kThreads];
    for (int i = 0; i < kThreads; i++) {
      all[i] = (struct exchange){.host = host, .port = port, .length = (size_t)(at + i) * 40009};
      if (pthread_create(&threads[i], NULL, exchange, &all[i])) die("pthread_create");
    }
    for (int i = 0; i < kThreads; i++) {
      pthread_join(threads[i], NULL);
      right += all[i].right;
    }
  }
  return right;
}

// self: the parts.

static void names(void) {
  static const char *const wanted[][2] = {
      {"localhost", "http"}, {"127.0.0.1", "https"}, {NULL, "domain"}};
  for (int i = 0; i < 3; i++) {
    struct addrinfo hints = {.ai_family = AF_INET,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE},
                    *found;
    int error = getaddrinfo(wanted[i][0], wanted[i][1], &hints, &found);
    char host[64] = "", service[16] = "";
    if (!error) {
      getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, service, sizeof service,
                  NI_NUMERICHOST | NI_NUMERICSERV);
      freeaddrinfo(found);
    }
    printf("%s %s: %d %s %s\n", wanted[i][0] ? wanted[i][0] : "any", wanted[i][1], error, host,
           service);
  }
  struct hostent *entry = gethostbyname("localhost");
  printf("gethostbyname: %s\n",
         entry ? inet_ntoa(*(struct in_addr *)entry->h_addr_list[0]) : "none");
}

static void threads_and_poll(void) {
  struct server server;
  pthread_t threads[kThreads];
  int stop_end, listener = listen_at(INADDR_LOOPBACK, 0);
  start_server(&server, listener, threads, &stop_end);
  printf("exchanges: %d\n", exchanges("localhost", port_of(listener), 40));
  stop_server(threads, stop_end);
  close(listener);
}

// Children accept from the parent's listener; one keeps a connection that the parent closes.
static void forks(void) {
  int listener = listen_at(INADDR_LOOPBACK, 0), port = port_of(listener), right = 0;
  fflush(stdout);
  for (int i = 0; i < 3; i++) {
    if (!check(fork(), "fork")) {
      int fd = accept(listener, NULL, NULL);
      dprintf(fd, "from child %d", i);
      _exit(fd < 0);
    }
    int fd = connect_to("127.0.0.1", port), status;
    char text[32] = "", want[32];
    snprintf(want, sizeof want, "from child %d", i);
    check(recv(fd, text, sizeof text - 1, MSG_WAITALL), "recv");
    check(wait(&status), "wait");
    right += !strcmp(text, want) && status == 0;
    close(fd);
  }
  int client = connect_to("127.0.0.1", port),
      server = check(accept(listener, NULL, NULL), "accept");
  if (!check(fork(), "fork")) {
    close(client);
    char letter;
    while (read(server, &letter, 1) == 1) letter ^= 32, write(server, &letter, 1);
    _exit(9);
  }
  close(server);
  char letter = 'q';
  write_all(client, &letter, 1);
  check(read(client, &letter, 1), "read");
  close(client);
  int status;
  check(wait(&status), "wait");
  printf("forks: %d %c %d\n", right, letter, WEXITSTATUS(status));
  close(listener);
}

// Executes itself again with an inherited socket, and programs that are not static.
static void spawns(const char *itself) {
  int listener = listen_at(INADDR_LOOPBACK, 0), client = connect_to("127.0.0.1", port_of(listener));
  int server = check(accept(listener, NULL, NULL), "accept"), status;
  char number[16], text[100] = "";
  snprintf(number, sizeof number, "%d", kInherited);
  char *arguments[] = {(char *)itself, "inherited", number, NULL};
  pid_t child;
  posix_spawn_file_actions_t actions;  // laid out otherwise than glibc's
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, server, kInherited);
  if (posix_spawn(&child, itself, &actions, NULL, arguments, environ)) die("posix_spawn");
  posix_spawn_file_actions_destroy(&actions);
  check(waitpid(child, &status, 0), "waitpid");
  close(server);
  check(recv(client, text, sizeof text - 1, MSG_WAITALL), "recv");
  printf("spawned: %d, %s\n", WEXITSTATUS(status), text);
  close(client);
  close(listener);
  listener = listen_at(INADDR_LOOPBACK, 0);
  char command[200];
  snprintf(command, sizeof command, "cat /proc/net/tcp | grep -c ':%04X .* 0A '",
           port_of(listener));
  FILE *pipe = popen(command, "r");
  if (!pipe || !fgets(text, sizeof text, pipe)) die("popen");
  printf("a shell sees %s listener, %d\n", strtok(text, "\n"), pclose(pipe));
  printf("system: %d\n", WEXITSTATUS(system("exit 5")));
  close(listener);
}

// Cancellation: musl checks whether the interrupted thread's program counter is in its system call.

struct cancelled {
  const char *name;
  int fd;
  int cleaned;
};

static void cleanup(void *argument) { ((struct cancelled *)argument)->cleaned = 1; }

static void *wait_in_call(void *argument) {
  struct cancelled *cancelled = argument;
  char byte;
  pthread_cleanup_push(cleanup, cancelled);
  if (!strcmp(cancelled->name, "recv")) recv(cancelled->fd, &byte, 1, 0);
  if (!strcmp(cancelled->name, "read")) read(cancelled->fd, &byte, 1);
  if (!strcmp(cancelled->name, "accept")) accept(cancelled->fd, NULL, NULL);
  if (!strcmp(cancelled->name, "poll")) poll(&(struct pollfd){cancelled->fd, POLLIN, 0}, 1, -1);
  pthread_cleanup_pop(0);
  return NULL;
}

static void cancellation(void) {
  int listener = listen_at(INADDR_LOOPBACK, 0), client = connect_to("127.0.0.1", port_of(listener));
  int server = check(accept(listener, NULL, NULL), "accept");
  for (int round = 0; round < 2; round++) {  // in the call already, and before it
    struct cancelled all[] = {
        {"recv", client, 0}, {"read", client, 0}, {"accept", listener, 0}, {"poll", client, 0}};
    for (int i = 0; i < 4; i++) {
      pthread_t thread;
      void *result;
      if (pthread_create(&thread, NULL, wait_in_call, &all[i])) die("pthread_create");
      if (round == 0) usleep(kReadyToCancelUs);
      pthread_cancel(thread);
      pthread_join(thread, &result);
      printf("%s %d ", all[i].name, result == PTHREAD_CANCELED);
      // Before the first instruction of the thread there is nothing to clean up yet.
      if (round == 0) printf("%d ", all[i].cleaned);
    }
  }
  write_all(server, "x", 1);
  char byte = 0;
  check(read(client, &byte, 1), "read");
  printf("then %c\n", byte);
  close(server);
  close(client);
  close(listener);
}

// setuid makes every thread change its user, by a signal to each, also to those that wait in calls.
static void all_threads_change(void) {
  fflush(stdout);
  if (!check(fork(), "fork")) {
    struct server server;
    pthread_t threads[kThreads];
    int stop_end, listener = listen_at(INADDR_LOOPBACK, 0);
    start_server(&server, listener, threads, &stop_end);
    int before = exchanges("127.0.0.1", port_of(listener), 4);
    if (getuid() == 0) check(setuid(65534), "setuid");
    int after = exchanges("127.0.0.1", port_of(listener), 8);
    stop_server(threads, stop_end);
    int reserved = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(80)};
    int refused = bind(reserved, (struct sockaddr *)&name, sizeof name) < 0 ? errno : 0;
    printf("setuid: %d %d, port 80 then: %s\n", before, after, strerror(refused));
    fflush(stdout);
    _exit(0);
  }
  int status;
  check(wait(&status), "wait");
}

static int inherited(int fd) {
  struct sockaddr_in peer;
  socklen_t length = sizeof peer;
  check(getpeername(fd, (struct sockaddr *)&peer, &length), "getpeername");
  dprintf(fd, "by a child that was executed, to %s", inet_ntoa(peer.sin_addr));
  return 6;
}

int main(int count, char **words) {
  if (count == 3 && !strcmp(words[1], "serve")) return role_serve(atoi(words[2]));
  if (count == 3 && !strcmp(words[1], "inherited")) return inherited(atoi(words[2]));
  if (count == 5 && !strcmp(words[1], "client")) {
    printf("%d right\n", exchanges(words[2], atoi(words[3]), atoi(words[4])));
    return 0;
  }
  if (count == 2 && !strcmp(words[1], "self")) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    names();
    threads_and_poll();
    forks();
    spawns(words[0]);
    cancellation();
    all_threads_change();
    return 3;
  }
  fprintf(stderr, "usage: serve PORT | client HOST PORT COUNT | self\n");
  return 2;
}
