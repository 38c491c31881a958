// SPDX-License-Identifier: Apache-2.0
//
// What libc does by several system calls, or with a thread or process of its own. The tiers that
// catch system calls see it from inside; the tier that has only libc's functions makes it again.

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // sigset(3), readdir_r(3) and their kin

#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <threads.h>

#include <string>

#include "children.h"
#include "loopback.h"

extern char** environ;

namespace {

void* ask_once(void* fd) {
  return reinterpret_cast<void*>(
      static_cast<intptr_t>(option(*static_cast<int*>(fd), SOL_SOCKET, SO_TYPE)));
}

// Each on a stack of its own, and so with a thread-control block where none has been.
void* type_by_a_thread(char* stack, size_t bytes, int fd) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, bytes);
  pthread_t thread;
  void* result = nullptr;
  EXPECT_EQ(pthread_create(&thread, &attributes, ask_once, &fd), 0);
  EXPECT_EQ(pthread_join(thread, &result), 0);
  pthread_attr_destroy(&attributes);
  return result;
}

pthread_key_t late_key;
int late_fd;
std::atomic<int> late_result{-1};

void use_late(void*) {
  late_result = option(late_fd, SOL_SOCKET, SO_TYPE);
}

// These run before the constructor of any library.
int early_status = -1, early_child = -1;
void begin_early() {
  early_status = system("exit 6");
  const pid_t pid = vfork();
  if (pid == 0) _exit(7);
  waitpid(pid, &early_child, 0);
}
__attribute__((section(".preinit_array"), used)) void (*const at_start)() = begin_early;

}  // namespace

TEST(processes_before_constructors) {
  EXPECT_EQ(WEXITSTATUS(early_status), 6);
  EXPECT_EQ(WEXITSTATUS(early_child), 7);
}

TEST(more_threads_than_lanes) {
  constexpr size_t kBytes = 64 << 10, kThreads = 600;
  auto* stacks = static_cast<char*>(mmap(nullptr, kBytes * kThreads, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  EXPECT(stacks != MAP_FAILED);
  int fd = OK(socket(AF_INET, SOCK_DGRAM, 0)), good = 0;
  for (size_t i = 0; i < kThreads; i++)
    good += type_by_a_thread(stacks + i * kBytes, kBytes, fd) ==
            reinterpret_cast<void*>(intptr_t{SOCK_DGRAM});
  EXPECT_EQ(good, int{kThreads});
}

TEST(calls_of_a_destructor) {
  late_fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(pthread_key_create(&late_key, use_late), 0);
  pthread_t thread;
  EXPECT_EQ(pthread_create(
                &thread, nullptr,
                [](void*) -> void* {
                  pthread_setspecific(late_key, &late_fd);
                  return nullptr;
                },
                nullptr),
            0);
  EXPECT_EQ(pthread_join(thread, nullptr), 0);
  EXPECT_EQ(late_result.load(), SOCK_STREAM);
}

TEST(thread_of_c11) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0)), result = 0;
  thrd_t thread;
  EXPECT_EQ(
      thrd_create(
          &thread, [](void* p) { return option(*static_cast<int*>(p), SOL_SOCKET, SO_TYPE); }, &fd),
      thrd_success);
  EXPECT_EQ(thrd_join(thread, &result), thrd_success);
  EXPECT_EQ(result, SOCK_STREAM);
}

TEST(formatted_to_a_socket) {
  Pair pair = tcp_pair();
  std::string word(5000, 'w');
  EXPECT_EQ(dprintf(pair.a, "%s %d %.1f|", word.c_str(), 7, 2.5), 5007);
  std::string got(5007, 0);
  EXPECT_EQ(recv(pair.b, got.data(), got.size(), MSG_WAITALL), 5007);
  EXPECT(got == word + " 7 2.5|");
}

TEST(stream_and_its_number) {
  Pair pair = tcp_pair();
  FILE* stream = fdopen(pair.a, "r+");
  EXPECT(stream != nullptr);
  EXPECT_EQ(fileno(stream), pair.a);
  EXPECT_EQ(option(fileno(stream), SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT(fputs("to the peer\n", stream) >= 0);
  EXPECT_EQ(fflush(stream), 0);
  char got[32] = {};
  EXPECT_EQ(recv(pair.b, got, 12, MSG_WAITALL), 12);
  EXPECT_TEXT(got, "to the peer\n");
  EXPECT_EQ(write(pair.b, "and back\n", 9), 9);
  EXPECT(fgets(got, sizeof got, stream) != nullptr);
  EXPECT_TEXT(got, "and back\n");
  EXPECT_EQ(fclose(stream), 0);
  EXPECT_EQ(read(pair.b, got, sizeof got), 0);
}

TEST(standard_output_there_and_back) {
  Pair pair = tcp_pair();
  int before = OK(dup(1));
  pid_t pid = child([&] {
    OK(dup2(pair.a, 1));
    printf("on the socket");
    fflush(stdout);
    OK(dup2(before, 1));
    check::report("on the old one");
    _exit(0);
  });
  EXPECT_EXIT(pid, 0);
  char got[32] = {};
  EXPECT_EQ(recv(pair.b, got, 13, MSG_WAITALL), 13);
  EXPECT_TEXT(got, "on the socket");
}

TEST(interfaces) {
  char name[IF_NAMESIZE] = {};
  unsigned index = if_nametoindex("lo");
  EXPECT_EQ(index, 1);
  EXPECT(if_indextoname(index, name) == name);
  EXPECT_TEXT(name, "lo");
  EXPECT_EQ(if_nametoindex("none"), 0);
  EXPECT_EQ(errno, ENODEV);
  EXPECT(if_indextoname(987654, name) == nullptr);
  EXPECT_EQ(errno, ENXIO);
}

HELPER(mask) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  struct sigaction action = {};
  sigaction(SIGUSR2, nullptr, &action);
  return (sigismember(&mask, SIGUSR1) ? 1 : 0) + (action.sa_handler == SIG_DFL ? 2 : 0) +
         (getpgrp() == getpid() ? 4 : 0);
}

TEST(spawn_with_attributes) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  sigset_t mask, defaults;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGUSR2);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  signal(SIGUSR2, SIG_IGN);
  char self[] = "/proc/self/exe", helper[] = "@mask";
  char* argv[] = {self, helper, nullptr};
  pid_t pid;
  EXPECT_EQ(posix_spawn(&pid, self, nullptr, &attributes, argv, environ), 0);
  EXPECT_EXIT(pid, 7);
  EXPECT_EQ(posix_spawn(&pid, "/none", nullptr, nullptr, argv, environ), ENOENT);
  posix_spawnattr_destroy(&attributes);
}

TEST(streams_of_shells) {
  Pair pair = tcp_pair();
  FILE* in = popen("cat >/dev/null; exit 3", "w");
  EXPECT(in != nullptr);
  FILE* out = popen("echo from a shell", "r");
  EXPECT(out != nullptr);
  char got[32] = {};
  EXPECT(fgets(got, sizeof got, out) != nullptr);
  EXPECT_TEXT(got, "from a shell\n");
  EXPECT_EQ(pclose(out), 0);
  EXPECT_EQ(WEXITSTATUS(pclose(in)), 3);
  EXPECT_EQ(WTERMSIG(system("kill -9 $$")), SIGKILL);
  EXPECT_EQ(WEXITSTATUS(system("exec /none 2>/dev/null")), 127);
  EXPECT(pair_works(pair));
}

// A handler does not end it, and shells of two threads leave the signal actions as they were.
TEST(shells_and_signals) {
  signal(SIGUSR1, SIG_DFL);
  on_signal(SIGALRM, count_signal);
  alarm_every(20);
  EXPECT_EQ(WEXITSTATUS(system("sleep 0.3; exit 4")), 4);
  alarm_every(0);
  on_signal(SIGINT, count_signal);
  std::thread first([] { EXPECT_EQ(system("sleep 0.2"), 0); });
  sleep_ms(50);
  std::thread second([] { EXPECT_EQ(system("sleep 0.5"), 0); });
  first.join();
  second.join();
  handled = 0;
  EXPECT_EQ(raise(SIGINT), 0);
  EXPECT_EQ(handled.load(), 1);
}

// If fclose closes them, their processes are awaited, and there is room for others.
TEST(many_streams_of_shells) {
  int (*volatile close_it)(FILE*) = fclose;  // what compilers warn of
  for (int i = 0; i < 70; i++) {
    FILE* out = popen("exit 3", "r");
    EXPECT(out != nullptr);
    EXPECT_EQ(WEXITSTATUS(close_it(out)), 3);
  }
}

// The shell ends with the thread that waits for it, and the signal actions are as they were.
TEST(shell_of_a_cancelled_thread) {
  on_signal(SIGINT, count_signal);
  int ends[2];
  OK(pipe(ends));
  std::string command = "echo $$ >&" + std::to_string(ends[1]) + "; exec sleep 100";
  pthread_t thread;
  EXPECT_EQ(pthread_create(
                &thread, nullptr,
                [](void* text) {
                  return reinterpret_cast<void*>(intptr_t{system(static_cast<char*>(text))});
                },
                command.data()),
            0);
  char digits[16] = {};
  EXPECT(read(ends[0], digits, sizeof digits - 1) > 0);
  EXPECT_EQ(pthread_cancel(thread), 0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  EXPECT(result == PTHREAD_CANCELED);
  EXPECT_ERR(kill(atoi(digits), 0), ESRCH);
  kill(atoi(digits), SIGKILL);
  handled = 0;
  EXPECT_EQ(raise(SIGINT), 0);
  EXPECT_EQ(handled.load(), 1);
}

// execvp gives it to a shell, posix_spawnp does not.
TEST(script_without_interpreter) {
  std::string path = std::string(check::scratch()) + "/script";
  int fd = OK(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0755));
  EXPECT_EQ(write(fd, "exit 5\n", 7), 7);
  EXPECT_EQ(close(fd), 0);
  char* argv[] = {path.data(), nullptr};
  pid_t pid;
  EXPECT_EQ(posix_spawnp(&pid, path.c_str(), nullptr, nullptr, argv, environ), ENOEXEC);
  pid = child([&] { execvp(path.c_str(), argv); });
  EXPECT_EXIT(pid, 5);
}

// As often as there are streams, and more often.
TEST(standard_output_there_and_back_often) {
  Pair pair = tcp_pair();
  int before = OK(dup(1));
  pid_t pid = child([&] {
    for (int i = 0; i < 1100; i++) {
      OK(dup2(pair.a, 1));
      OK(dup2(before, 1));
    }
    OK(dup2(pair.a, 1));
    printf("on the socket");
    fflush(stdout);
    OK(dup2(before, 1));
    _exit(0);
  });
  EXPECT_EXIT(pid, 0);
  char got[32] = {};
  EXPECT_EQ(recv(pair.b, got, 13, MSG_WAITALL | MSG_DONTWAIT), 13);
  EXPECT_TEXT(got, "on the socket");
}

TEST(entries_one_by_one) {
  DIR* directory = opendir("/proc/sys/net/ipv4/conf/lo");
  EXPECT(directory != nullptr);
  dirent entry, *result = nullptr;
  int entries = 0, forwarding = 0;
  while (readdir_r(directory, &entry, &result) == 0 && result) {
    EXPECT(result == &entry);
    entries++;
    forwarding += strcmp(entry.d_name, "forwarding") == 0;
  }
  EXPECT(entries > 20);
  EXPECT_EQ(forwarding, 1);
  EXPECT_EQ(closedir(directory), 0);
}

TEST(file_systems) {
  for (const char* path : {"/", "/proc/net", check::scratch()}) {
    struct statfs want;
    struct statvfs got, same;
    EXPECT_EQ(statfs(path, &want), 0);
    EXPECT_EQ(statvfs(path, &got), 0);
    EXPECT_EQ(got.f_bsize, static_cast<size_t>(want.f_bsize));
    EXPECT_EQ(got.f_frsize, static_cast<size_t>(want.f_frsize));
    EXPECT_EQ(got.f_blocks, want.f_blocks);
    EXPECT_EQ(got.f_favail, got.f_ffree);
    EXPECT_EQ(memcmp(&got.f_fsid, &want.f_fsid, sizeof got.f_fsid), 0);
    constexpr size_t kValid = 0x20;  // for libc alone
    EXPECT_EQ(got.f_flag, static_cast<size_t>(want.f_flags) & ~kValid);
    EXPECT_EQ(got.f_namemax, static_cast<size_t>(want.f_namelen));
    int fd = OK(open(path, O_PATH));
    EXPECT_EQ(fstatvfs(fd, &same), 0);
    EXPECT_EQ(same.f_blocks, got.f_blocks);
    EXPECT_EQ(same.f_namemax, got.f_namemax);
  }
  struct statvfs none;
  EXPECT_ERR(statvfs("/nowhere", &none), ENOENT);
  EXPECT_ERR(fstatvfs(-1, &none), EBADF);
}

TEST(files_of_all_kinds) {
  std::string path = std::string(check::scratch()) + "/file";
  struct stat about;
  umask(022);
  EXPECT_EQ(mkfifo(path.c_str(), 0666), 0);
  EXPECT_EQ(stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode, S_IFIFO | 0644u);
  EXPECT_ERR(mkfifo(path.c_str(), 0666), EEXIST);
  EXPECT_EQ(remove(path.c_str()), 0);
  EXPECT_EQ(mkfifoat(AT_FDCWD, path.c_str(), 0600), 0);
  EXPECT_EQ(remove(path.c_str()), 0);
  EXPECT_ERR(remove(path.c_str()), ENOENT);
  EXPECT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_ERR(remove(check::scratch()), ENOTEMPTY);
  EXPECT_EQ(remove(path.c_str()), 0);
  int fd = OK(open(path.c_str(), O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(posix_fallocate(fd, 1000, 4000), 0);
  EXPECT_EQ(fstat(fd, &about), 0);
  EXPECT_EQ(about.st_size, 5000);
  EXPECT_EQ(posix_fallocate(fd, -1, 1), EINVAL);
  EXPECT_EQ(posix_fallocate(-1, 0, 1), EBADF);
}

TEST(allocation_on_a_socket) {
  Pair pair = tcp_pair();
  EXPECT_EQ(posix_fallocate(pair.a, 0, 1), ENODEV);
}

TEST(old_signal_functions) {
  EXPECT(sigset(SIGUSR1, count_signal) == SIG_DFL);
  EXPECT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(handled.load(), 1);
  EXPECT_EQ(sighold(SIGUSR1), 0);
  EXPECT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(handled.load(), 1);
  EXPECT_EQ(sigrelse(SIGUSR1), 0);
  EXPECT_EQ(handled.load(), 2);
  EXPECT_EQ(sigignore(SIGUSR1), 0);
  EXPECT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(handled.load(), 2);
  // A handler that interrupts, and one that does not.
  Pair pair = udp_pair();
  char byte;
  EXPECT(signal(SIGALRM, count_signal) == SIG_DFL);
  EXPECT_EQ(siginterrupt(SIGALRM, 1), 0);
  alarm_every(20);
  EXPECT_ERR(read(pair.b, &byte, 1), EINTR);
}

TEST(addresses_of_interfaces) {
  ifaddrs* list = nullptr;
  EXPECT_EQ(getifaddrs(&list), 0);
  int links = 0, addresses = 0;
  for (const ifaddrs* i = list; i; i = i->ifa_next) {
    if (strcmp(i->ifa_name, "lo") != 0 || !i->ifa_addr) continue;
    EXPECT(i->ifa_flags & IFF_LOOPBACK);
    if (i->ifa_addr->sa_family == AF_PACKET) {
      const auto* link = reinterpret_cast<const sockaddr_ll*>(i->ifa_addr);
      EXPECT_EQ(link->sll_ifindex, 1);
      EXPECT_EQ(link->sll_hatype, ARPHRD_LOOPBACK);
      EXPECT_EQ(link->sll_halen, 6);
      EXPECT(i->ifa_data != nullptr);
      links++;
    } else if (i->ifa_addr->sa_family == AF_INET) {
      EXPECT_EQ(reinterpret_cast<sockaddr_in*>(i->ifa_addr)->sin_addr.s_addr, htonl(0x7f000001));
      EXPECT_EQ(reinterpret_cast<sockaddr_in*>(i->ifa_netmask)->sin_addr.s_addr, htonl(0xff000000));
      addresses++;
    } else {
      EXPECT_EQ(i->ifa_addr->sa_family, AF_INET6);
      EXPECT(IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<sockaddr_in6*>(i->ifa_addr)->sin6_addr));
    }
  }
  freeifaddrs(list);
  EXPECT_EQ(links, 1);
  EXPECT_EQ(addresses, 1);
  // All interfaces that there are, and no others: as many links as names.
  struct if_nameindex* names = if_nameindex();
  EXPECT(names != nullptr);
  int named = 0;
  for (const struct if_nameindex* n = names; n && n->if_index; n++)
    named += if_nametoindex(n->if_name) == n->if_index;
  if_freenameindex(names);
  EXPECT_EQ(getifaddrs(&list), 0);
  for (const ifaddrs* i = list; i; i = i->ifa_next)
    named -= i->ifa_addr && i->ifa_addr->sa_family == AF_PACKET;
  freeifaddrs(list);
  EXPECT_EQ(named, 0);
  // Nothing is left of the socket by which libc asks, even when the site of its close is rewritten.
  const int next = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_EQ(close(next), 0);
  for (int i = 0; i < 20; i++) {
    EXPECT_EQ(getifaddrs(&list), 0);
    freeifaddrs(list);
    EXPECT_ERR(fcntl(next, F_GETFL), EBADF);
  }
}
