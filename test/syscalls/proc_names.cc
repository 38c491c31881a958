// SPDX-License-Identifier: Apache-2.0
//
// Files of the network, and sockets, by another name: /dev/stdin, /dev/fd/N, /proc/self/fd/N, links
// to these; /proc/PID/net of this process and of others; a working directory across exec;
// /sys/devices; in a chroot. And what /proc/self/fd lists. The file that a name leads to decides,
// not the text of the name.

#include <dirent.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <vector>

#include "children.h"
#include "files.h"
#include "loopback.h"

namespace {

constexpr const char* kText = "/proc/sys/net/ipv4/ip_local_port_range";

std::string name(const char* head, int fd, const char* tail = "") {
  return head + std::to_string(fd) + tail;
}

std::vector<std::string> names_of(int fd) {
  return {name("/dev/fd/", fd), name("/proc/self/fd/", fd), name("/proc/thread-self/fd/", fd),
          name("/proc/", getpid(), name("/fd/", fd).c_str()),
          name("/proc/self/task/", gettid(), name("/fd/", fd).c_str())};
}

bool lists_lo(const std::string& path) {
  return contents(path.c_str()).find(" lo:") != std::string::npos;
}

// The numbers that a directory of descriptors lists, without that of the directory itself.
std::vector<int> numbers_in(const char* path) {
  std::vector<int> numbers;
  DIR* directory = opendir(path);
  EXPECT(directory != nullptr);
  while (dirent* entry = directory ? readdir(directory) : nullptr) {
    if (entry->d_name[0] == '.') continue;
    if (atoi(entry->d_name) != dirfd(directory)) numbers.push_back(atoi(entry->d_name));
  }
  if (directory) closedir(directory);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string target_of(const std::string& link) {
  char target[4096];
  ssize_t n = readlink(link.c_str(), target, sizeof target);
  return n < 0 ? check::error_name(errno) : std::string(target, static_cast<size_t>(n));
}

}  // namespace

TEST(read_by_another_name) {
  const std::string whole = contents(kText);
  int fd = OK(open(kText, O_RDONLY));
  for (const std::string& path : names_of(fd)) {
    EXPECT(contents(path.c_str()) == whole);
    int again = OK(open(path.c_str(), O_RDONLY));  // a position of its own
    char byte;
    EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
    EXPECT_EQ(read(fd, &byte, 1), 1);
    EXPECT_EQ(lseek(again, 0, SEEK_CUR), 0);
    EXPECT_EQ(close(again), 0);
  }
  EXPECT_EQ(dup2(fd, 0), 0);
  EXPECT(contents("/dev/stdin") == whole);
  FILE* file = fopen("/dev/stdin", "r");
  char line[8] = {};
  EXPECT(file && fread(line, 1, 8, file) == 8 && memcmp(line, whole.data(), 8) == 0);
  if (file) fclose(file);
  int dev = OK(open("/dev", O_RDONLY | O_DIRECTORY));
  int relative = OK(openat(dev, name("fd/", fd).c_str(), O_RDONLY));
  EXPECT(contents(relative) == whole);
  EXPECT_EQ(chdir("/proc/self/fd"), 0);
  EXPECT(contents(name("", fd).c_str()) == whole);
  const std::string link = std::string(check::scratch()) + "/link";
  EXPECT_EQ(symlink("/dev/stdin", link.c_str()), 0);
  EXPECT(contents(link.c_str()) == whole);
  EXPECT_ERR(open(link.c_str(), O_RDONLY | O_NOFOLLOW), ELOOP);
  EXPECT_ERR(open(name("/dev/fd/", fd).c_str(), O_RDONLY | O_DIRECTORY), ENOTDIR);
  EXPECT_ERR(open(name("/dev/fd/", fd, "/x").c_str(), O_RDONLY), ENOTDIR);
  EXPECT_EQ(close(fd), 0);
  EXPECT_ERR(open(name("/dev/fd/", fd).c_str(), O_RDONLY), ENOENT);
}

TEST(write_by_another_name) {
  int fd = OK(open(kTtl, O_RDONLY));
  int writer = OK(open(name("/dev/fd/", fd).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  EXPECT_EQ(write(writer, "63\n", 3), 3);
  EXPECT_TEXT(contents(kTtl).c_str(), "63\n");
  EXPECT_EQ(pwrite(writer, "64\n", 3, 0), 3);
  EXPECT_TEXT(contents(fd).c_str(), "64\n");
}

TEST(attributes_by_another_name) {
  int fd = OK(open(kTtl, O_RDONLY));
  struct stat by_fd, info;
  struct statx extended;
  struct statfs system;
  EXPECT_EQ(fstat(fd, &by_fd), 0);
  for (const std::string& path : names_of(fd)) {
    const char* p = path.c_str();
    EXPECT_EQ(stat(p, &info), 0);
    EXPECT_EQ(info.st_mode, S_IFREG | 0644);
    EXPECT_EQ(info.st_ino, by_fd.st_ino);
    EXPECT_EQ(info.st_dev, by_fd.st_dev);
    EXPECT_EQ(fstatat(AT_FDCWD, p, &info, AT_SYMLINK_NOFOLLOW), 0);
    EXPECT(S_ISLNK(info.st_mode));
    EXPECT_EQ(lstat(p, &info), 0);
    EXPECT(S_ISLNK(info.st_mode));
    EXPECT_EQ(statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &extended), 0);
    EXPECT_EQ(extended.stx_ino, by_fd.st_ino);
    EXPECT_EQ(statfs(p, &system), 0);
    EXPECT_EQ(system.f_type, 0x9fa0);  // PROC_SUPER_MAGIC
    EXPECT_EQ(access(p, R_OK | W_OK), 0);
    EXPECT_ERR(access(p, X_OK), EACCES);
    EXPECT_TEXT(target_of(path).c_str(), kTtl);
    char bytes[64];
    const timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    check::report("truncate: %s", check::outcome(truncate(p, 0)));
    check::report("chmod: %s", check::outcome(chmod(p, 0600)));
    check::report("chown: %s", check::outcome(chown(p, 1, 1)));
    check::report("utimensat: %s", check::outcome(utimensat(AT_FDCWD, p, now, 0)));
    check::report("getxattr: %s", check::outcome(getxattr(p, "user.x", bytes, sizeof bytes)));
    check::report("setxattr: %s", check::outcome(setxattr(p, "user.x", "y", 1, 0)));
    check::report("listxattr: %s", check::outcome(listxattr(p, bytes, sizeof bytes)));
    check::report("unlink: %s", check::outcome(unlink(p)));
    check::report("rename: %s", check::outcome(rename(p, "/tmp/mino-other")));
    check::report("mkdir: %s", check::outcome(mkdir(p, 0700)));
  }
}

TEST(sockets_by_name) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  struct stat by_fd, info;
  EXPECT_EQ(fstat(fd, &by_fd), 0);
  for (const std::string& path : names_of(fd)) {
    EXPECT_ERR(open(path.c_str(), O_RDWR), ENXIO);
    EXPECT_ERR(open(path.c_str(), O_RDONLY | O_NONBLOCK), ENXIO);
    int only = OK(open(path.c_str(), O_PATH));
    EXPECT_EQ(fstat(only, &info), 0);
    EXPECT(S_ISSOCK(info.st_mode));
    EXPECT_EQ(info.st_ino, by_fd.st_ino);
    EXPECT_EQ(close(only), 0);
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_ino, by_fd.st_ino);
    EXPECT_TEXT(target_of(path).c_str(),
                name("socket:[", static_cast<int>(by_fd.st_ino), "]").c_str());
  }
  open_how how = {};
  how.flags = O_RDWR;
  EXPECT_ERR(openat2_of(AT_FDCWD, name("/dev/fd/", fd).c_str(), how), ENXIO);
}

TEST(directories_by_name) {
  int fd = OK(open("/proc/net", O_RDONLY | O_DIRECTORY));
  EXPECT_TEXT(target_of(name("/proc/self/fd/", fd)).c_str(),
              name("/proc/", getpid(), "/net").c_str());
  for (const std::string& path : names_of(fd)) {
    EXPECT(lists_lo(path + "/dev"));
    int again = OK(open(path.c_str(), O_RDONLY | O_DIRECTORY));
    int dev = OK(openat(again, "dev", O_RDONLY));
    EXPECT(contents(dev).find(" lo:") != std::string::npos);
    EXPECT_TEXT(target_of(name("/proc/self/fd/", dev)).c_str(),
                name("/proc/", getpid(), "/net/dev").c_str());
    close(again);
    close(dev);
    EXPECT_EQ(chdir(path.c_str()), 0);
    EXPECT(lists_lo("dev"));
    EXPECT_EQ(chdir("/"), 0);
  }
}

TEST(processes) {
  int fd = listener();
  uint16_t port = name_of(fd).sin_port;
  const auto is_listed_by = [&](pid_t pid) {
    EXPECT(listed(port, name("/proc/", pid, "/net/tcp").c_str()));
    EXPECT(listed(port, name("/proc/", pid, name("/task/", pid, "/net/tcp").c_str()).c_str()));
    int directory = OK(open(name("/proc/", pid).c_str(), O_RDONLY | O_DIRECTORY));
    int file = OK(openat(directory, "net/tcp", O_RDONLY));
    EXPECT(!contents(file).empty());
    close(file);
    EXPECT_EQ(fchdir(directory), 0);
    EXPECT(listed(port, "net/tcp"));
    close(directory);
  };
  is_listed_by(getpid());
  is_listed_by(getppid());
  int gate[2];
  EXPECT_EQ(pipe(gate), 0);
  pid_t pid = child([&] {
    char byte;
    close(gate[1]);
    is_listed_by(getppid());
    EXPECT_EQ(read(gate[0], &byte, 1), 0);
  });
  is_listed_by(pid);
  close(gate[1]);
  EXPECT_EXIT(pid, 0);
  EXPECT_TEXT(contents(name("/proc/", pid, "/net/tcp").c_str()).c_str(), "ENOENT");
  EXPECT(listed(port, name("/proc/self/task/", gettid(), "/net/tcp").c_str()));
  EXPECT_TEXT(contents("/proc/self/task/1/net/tcp").c_str(), getpid() == 1 ? "" : "ENOENT");
  std::thread([&] {
    EXPECT(listed(port, name("/proc/self/task/", gettid(), "/net/tcp").c_str()));
    EXPECT(listed(port, name("/proc/self/task/", getpid(), "/net/tcp").c_str()));
    EXPECT(listed(port, name("/proc/", gettid(), "/net/tcp").c_str()));
  }).join();
}

TEST(what_fdinfo_says) {
  const auto flags = [](int fd) {
    std::string text = contents(name("/proc/self/fdinfo/", fd).c_str());
    size_t at = text.find("flags:\t");
    return at == std::string::npos ? text : text.substr(at + 7, 8);
  };
  int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_TEXT(flags(fd).c_str(), "02\nmnt_i");
  EXPECT_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  EXPECT_TEXT(flags(fd).c_str(), "04002\nmn");
  EXPECT_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
  EXPECT_TEXT(flags(fd).c_str(), "02004002");
  EXPECT_EQ(fcntl(fd, F_SETFD, 0), 0);
  EXPECT_TEXT(flags(fd).c_str(), "04002\nmn");
  int file = OK(open(kText, O_RDONLY | O_CLOEXEC));
  char bytes[7];
  EXPECT_EQ(read(file, bytes, sizeof bytes), 7);
  EXPECT_EQ(contents(name("/proc/self/fdinfo/", file).c_str()).find("pos:\t7\n"), 0);
  EXPECT_TEXT(flags(file).substr(0, 7).c_str(), "0210000");
}

// The program that was executed finds itself where the one before was.
HELPER(in_proc_net) {
  EXPECT(lists_lo("dev"));
  EXPECT(lists_lo("./dev"));
  EXPECT(lists_lo("/proc/self/cwd/dev"));
  char where[128] = {};
  EXPECT(getcwd(where, sizeof where) != nullptr);
  EXPECT_TEXT(where, argv[2]);
  EXPECT_TEXT(target_of("/proc/self/cwd").c_str(), argv[2]);
  EXPECT(contents("../stat").find(" (") != std::string::npos);
  return check::failures ? 1 : 0;
}

TEST(working_directory_across_exec) {
  EXPECT_EQ(chdir("/proc/net"), 0);
  EXPECT(lists_lo("dev"));
  const std::string here = name("/proc/", getpid(), "/net");
  char where[128] = {};
  EXPECT(getcwd(where, sizeof where) != nullptr);
  EXPECT_TEXT(where, here.c_str());
  const auto execute = [&] {
    execl("/proc/self/exe", "proc_names", "@in_proc_net", here.c_str(), nullptr);
    _exit(127);
  };
  EXPECT_EXIT(child(execute), 0);
  pid_t pid = vfork();
  if (pid == 0) execute();
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(chdir("/sys/class/net/lo"), 0);
  EXPECT_TEXT(contents("mtu").c_str(), "65536\n");
  EXPECT_EQ(chdir("."), 0);
  EXPECT_EQ(chdir("statistics"), 0);
  EXPECT(getcwd(where, sizeof where) != nullptr);
  EXPECT_TEXT(where, "/sys/devices/virtual/net/lo/statistics");
  EXPECT(!contents("rx_bytes").empty());
  EXPECT_EQ(chdir("../../lo"), 0);
  EXPECT_TEXT(contents("mtu").c_str(), "65536\n");
  pid = child([] {
    execl("/bin/sh", "sh", "-c", "read mtu <mtu && test \"$mtu\" = 65536 && cat ifindex >/dev/null",
          nullptr);
  });
  EXPECT_EXIT(pid, 0);
}

TEST(where_links_of_sysfs_lead) {
  char* path = realpath("/sys/class/net/lo", nullptr);
  EXPECT(path != nullptr);
  EXPECT_TEXT(path ? path : "", "/sys/devices/virtual/net/lo");
  EXPECT_TEXT(contents("/sys/devices/virtual/net/lo/mtu").c_str(), "65536\n");
  int names = 0;
  DIR* directory = opendir("/sys/devices/virtual/net");
  while (dirent* entry = directory ? readdir(directory) : nullptr) {
    if (entry->d_name[0] != '.') names += strcmp(entry->d_name, "lo") == 0;
  }
  if (directory) closedir(directory);
  EXPECT_EQ(names, 1);
  int net = OK(open("/sys/class/net", O_RDONLY | O_DIRECTORY));
  int mtu = OK(openat(net, "../../devices/virtual/net/lo/mtu", O_RDONLY));
  EXPECT_TEXT(contents(mtu).c_str(), "65536\n");
  int virtual_devices = OK(open("/sys/devices/virtual", O_RDONLY | O_DIRECTORY));
  mtu = OK(openat(virtual_devices, "net/lo/mtu", O_RDONLY));
  EXPECT_TEXT(contents(mtu).c_str(), "65536\n");
  EXPECT_ERR(open("/sys/devices/virtual/net/none", O_RDONLY), ENOENT);
}

TEST(in_a_jail) {
  int before = OK(open("/proc/net", O_RDONLY | O_DIRECTORY));
  EXPECT_EQ(chroot(check::scratch()), 0);
  EXPECT_EQ(chdir("/"), 0);
  for (const char* path : {"/proc/net/dev", "/proc/self/net/dev", "/proc/sys/net/ipv4",
                           "/sys/class/net", "/sys/devices/virtual/net/lo", "proc/net", "/proc"}) {
    EXPECT_ERR(open(path, O_RDONLY), ENOENT);
    struct stat info;
    EXPECT_ERR(stat(path, &info), ENOENT);
    EXPECT_ERR(chdir(path), ENOENT);
  }
  int dev = OK(openat(before, "dev", O_RDONLY));
  EXPECT(contents(dev).find(" lo:") != std::string::npos);
  EXPECT_EQ(mkdir("/proc", 0755), 0);
  EXPECT_ERR(open("/proc/net/dev", O_RDONLY), ENOENT);
  EXPECT_EQ(mkdir("/proc/net", 0755), 0);
  dev = OK(open("/proc/net/dev", O_RDWR | O_CREAT, 0600));  // a file like any other
  EXPECT_EQ(write(dev, "mine", 4), 4);
  EXPECT_TEXT(contents("/proc/net/dev").c_str(), "mine");
  int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_EQ(close(fd), 0);
}

TEST(only_own_descriptors_are_listed) {
  for (const char* path :
       {"/proc/self/fd", "/dev/fd", "/proc/self/fdinfo", "/proc/thread-self/fd"}) {
    std::vector<int> before = numbers_in(path);
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    int epoll = OK(epoll_create1(0));
    pollfd both[2] = {{fd, POLLIN, 0}, {epoll, POLLIN, 0}};
    poll(both, 2, 0);
    std::vector<int> now = numbers_in(path);
    before.push_back(fd);
    before.push_back(epoll);
    std::sort(before.begin(), before.end());
    EXPECT(now == before);
    for (int number : now) EXPECT(fcntl(number, F_GETFD) >= 0);
    EXPECT_EQ(close(fd), 0);
    EXPECT_EQ(close(epoll), 0);
  }
  // As daemons do at their start.
  OK(socket(AF_INET, SOCK_STREAM, 0));
  for (int number : numbers_in("/proc/self/fd")) {
    if (number > 2) EXPECT_EQ(close(number), 0);
  }
  EXPECT(numbers_in("/proc/self/fd") == (std::vector<int>{0, 1, 2}));
}

TEST(what_is_not_listed_is_not_open) {
  OK(socket(AF_INET, SOCK_STREAM, 0));
  const std::vector<int> open_ones = numbers_in("/proc/self/fd");
  char byte = 0;
  struct stat info;
  for (int number = 0; number < 8192; number++) {
    if (std::binary_search(open_ones.begin(), open_ones.end(), number)) continue;
    EXPECT_ERR(fcntl(number, F_GETFD), EBADF);
    EXPECT_ERR(fstat(number, &info), EBADF);
    EXPECT_ERR(read(number, &byte, 1), EBADF);
    EXPECT_ERR(lseek(number, 0, SEEK_SET), EBADF);
    EXPECT_ERR(dup(number), EBADF);
    EXPECT_ERR(fchdir(number), EBADF);
    EXPECT_ERR(close(number), EBADF);
    if (number < 4000 && number > 64) continue;
    EXPECT_ERR(stat(name("/proc/self/fd/", number).c_str(), &info), ENOENT);
    EXPECT_ERR(open(name("/dev/fd/", number).c_str(), O_RDONLY), ENOENT);
    EXPECT_ERR(open(name("/proc/self/fdinfo/", number).c_str(), O_RDONLY), ENOENT);
    if (check::failures) break;
  }
  EXPECT(pair_works(tcp_pair()));
}
