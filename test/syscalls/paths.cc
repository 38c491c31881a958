// SPDX-License-Identifier: Apache-2.0
//
// Paths below the prefixes that the kernel of the network serves: /proc/net, /proc/self/net,
// /proc/sys/net, /sys/class/net. Every way to name a file there must reach the same file.
//
// It changes one sysctl, net.ipv4.ip_default_ttl, and restores it.

#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "children.h"
#include "files.h"
#include "loopback.h"
#include "memory.h"

TEST(own_sockets_are_listed) {
  int fd = listener();
  uint16_t port = name_of(fd).sin_port;
  std::string by_pid = "/proc/" + std::to_string(getpid()) + "/net/tcp";
  for (const char* path : {"/proc/net/tcp", "/proc/self/net/tcp", "/proc/thread-self/net/tcp",
                           by_pid.c_str(), "//proc/./net//tcp", "/proc/self/../net/tcp"}) {
    if (!listed(port, path)) {
      check::fail("paths.cc", __LINE__, path == by_pid.c_str() ? "/proc/<pid>/net/tcp" : path,
                  "the listener is not there");
    }
  }
  close(fd);
  EXPECT(!listed(port));
  EXPECT(contents("/proc/net/dev").find(" lo:") != std::string::npos);
}

TEST(read_and_seek) {
  int fd = OK(open(kTtl, O_RDONLY));
  char bytes[16] = {};
  EXPECT_EQ(read(fd, bytes, sizeof bytes), 3);
  EXPECT_TEXT(bytes, "64\n");
  EXPECT_EQ(read(fd, bytes, sizeof bytes), 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 3);
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  EXPECT_EQ(read(fd, bytes, 1), 1);
  EXPECT_EQ(pread(fd, bytes, sizeof bytes, 0), 3);
  EXPECT_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
  EXPECT_ERR(write(fd, "1", 1), EBADF);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
  // A file of lines: read in small steps, it is the same text.
  int sockets = OK(open("/proc/net/protocols", O_RDONLY));
  std::string whole = contents(sockets), steps;
  EXPECT_EQ(lseek(sockets, 0, SEEK_SET), 0);
  for (ssize_t n; (n = read(sockets, bytes, 13)) > 0;) steps.append(bytes, static_cast<size_t>(n));
  EXPECT_EQ(steps.size(), whole.size());
  EXPECT(whole.find("TCP") != std::string::npos);
}

TEST(write_a_sysctl) {
  int fd = OK(open(kTtl, O_RDWR | O_CLOEXEC));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(write(fd, "63\n", 3), 3);
  EXPECT_TEXT(contents(kTtl).c_str(), "63\n");
  int udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_EQ(option(udp, IPPROTO_IP, IP_TTL), 63);  // the sockets live in the same kernel
  EXPECT_EQ(pwrite(fd, "64\n", 3, 0), 3);
  EXPECT_TEXT(contents(kTtl).c_str(), "64\n");
  EXPECT_ERR(pwrite(fd, "0\n", 2, 0), EINVAL);
  EXPECT_ERR(pwrite(fd, "word\n", 5, 0), EINVAL);
  FILE* file = fopen(kTtl, "r");
  int value = 0;
  EXPECT(file && fscanf(file, "%d", &value) == 1);
  EXPECT_EQ(value, 64);
  EXPECT_EQ(fclose(file), 0);
}

TEST(open_errors) {
  EXPECT_ERR(open("/proc/sys/net/ipv4/no_such_file", O_RDONLY), ENOENT);
  EXPECT_ERR(open("/proc/sys/net/no_such_directory/x", O_RDONLY), ENOENT);
  EXPECT_ERR(open("/proc/sys/net/ipv4/ip_default_ttl/x", O_RDONLY), ENOTDIR);
  EXPECT_ERR(open("/proc/sys/net/ipv4/ip_default_ttl/", O_RDONLY), ENOTDIR);
  EXPECT_ERR(open(kTtl, O_RDONLY | O_DIRECTORY), ENOTDIR);
  EXPECT_ERR(open("/proc/sys/net/ipv4", O_RDWR), EISDIR);
  EXPECT_ERR(open(kTtl, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
  EXPECT_ERR(open("/proc/net", O_RDONLY | O_NOFOLLOW), ELOOP);
  std::string endless = std::string("/proc/sys/net/") + std::string(5000, 'x');
  EXPECT_ERR(open(endless.c_str(), O_RDONLY), ENAMETOOLONG);
  std::string long_name = std::string("/proc/sys/net/") + std::string(300, 'x');
  check::report("long name %s", check::outcome(open(long_name.c_str(), O_RDONLY)));
  check::report("O_CREAT %s",
                check::outcome(open("/proc/sys/net/ipv4/new_file", O_RDWR | O_CREAT, 0600)));
  EXPECT_ERR(openat(-1, "ip_default_ttl", O_RDONLY), EBADF);
  EXPECT_ERR(openat(9999, "ip_default_ttl", O_RDONLY), EBADF);
  int file = OK(open(kTtl, O_RDONLY));
  EXPECT_ERR(openat(file, "x", O_RDONLY), ENOTDIR);
  int path_only = OK(open(kTtl, O_PATH));
  char byte;
  EXPECT_ERR(read(path_only, &byte, 1), EBADF);
}

TEST(relative_to_a_directory) {
  int net = OK(open("/proc/sys/net", O_RDONLY | O_DIRECTORY));
  int ipv4 = OK(openat(net, "ipv4", O_RDONLY | O_DIRECTORY));
  int ttl = OK(openat(ipv4, "ip_default_ttl", O_RDONLY));
  EXPECT_TEXT(contents(ttl).c_str(), "64\n");
  int same = OK(openat(ipv4, "../../net/ipv4/ip_default_ttl", O_RDONLY));
  EXPECT_TEXT(contents(same).c_str(), "64\n");
  int absolute = OK(openat(ipv4, kTtl, O_RDONLY));
  EXPECT_TEXT(contents(absolute).c_str(), "64\n");
  // Out of the prefix and into it again.
  int outside = OK(openat(net, "../kernel/ostype", O_RDONLY));
  EXPECT_TEXT(contents(outside).c_str(), "Linux\n");
  EXPECT_TEXT(contents("/proc/sys/net/../kernel/ostype").c_str(), "Linux\n");
  int proc = OK(open("/proc", O_RDONLY | O_DIRECTORY));
  int inside = OK(openat(proc, "sys/net/ipv4/ip_default_ttl", O_RDONLY));
  EXPECT_TEXT(contents(inside).c_str(), "64\n");
  struct stat info;
  EXPECT_EQ(fstatat(ipv4, "ip_default_ttl", &info, 0), 0);
  EXPECT_EQ(info.st_mode, S_IFREG | 0644);
  EXPECT_EQ(fstatat(ttl, "", &info, AT_EMPTY_PATH), 0);
  EXPECT_EQ(info.st_mode, S_IFREG | 0644);
  EXPECT_ERR(fstatat(ttl, "", &info, 0), ENOENT);
  EXPECT_EQ(faccessat(ipv4, "ip_default_ttl", R_OK, 0), 0);
}

TEST(working_directory) {
  EXPECT_EQ(chdir("/proc/sys/net/ipv4"), 0);
  EXPECT_TEXT(contents("ip_default_ttl").c_str(), "64\n");
  EXPECT_TEXT(contents("./../ipv4/ip_default_ttl").c_str(), "64\n");
  char where[256] = {};
  EXPECT(getcwd(where, sizeof where) != nullptr);
  EXPECT_TEXT(where, "/proc/sys/net/ipv4");
  EXPECT_ERR(open("nothing", O_RDONLY), ENOENT);
  pid_t pid = child([] { EXPECT_TEXT(contents("ip_default_ttl").c_str(), "64\n"); });
  EXPECT_EXIT(pid, 0);
  EXPECT_TEXT(contents("../../kernel/ostype").c_str(), "Linux\n");
  EXPECT_EQ(chdir(".."), 0);
  EXPECT_TEXT(contents("ipv4/ip_default_ttl").c_str(), "64\n");
  EXPECT_EQ(chdir("/"), 0);
  EXPECT_TEXT(contents("proc/sys/net/ipv4/ip_default_ttl").c_str(), "64\n");
  EXPECT_TEXT(contents("ip_default_ttl").c_str(), "ENOENT");
  int fd = OK(open("/proc/sys/net", O_RDONLY));
  EXPECT_EQ(fchdir(fd), 0);
  EXPECT_TEXT(contents("ipv4/ip_default_ttl").c_str(), "64\n");
  EXPECT_EQ(chdir("/proc"), 0);
  EXPECT(contents("net/dev").find(" lo:") != std::string::npos);
  EXPECT_ERR(chdir("/proc/sys/net/nowhere"), ENOENT);
  EXPECT_ERR(chdir(kTtl), ENOTDIR);
}

TEST(attributes) {
  struct stat info;
  EXPECT_EQ(stat(kTtl, &info), 0);
  EXPECT_EQ(info.st_mode, S_IFREG | 0644);
  EXPECT_EQ(info.st_size, 0);
  EXPECT_EQ(lstat(kTtl, &info), 0);
  EXPECT_EQ(info.st_mode, S_IFREG | 0644);
  EXPECT_EQ(stat("/proc/sys/net", &info), 0);
  EXPECT(S_ISDIR(info.st_mode));
  EXPECT_EQ(lstat("/proc/net", &info), 0);
  EXPECT(S_ISLNK(info.st_mode));
  EXPECT_EQ(stat("/proc/net", &info), 0);
  EXPECT(S_ISDIR(info.st_mode));
  struct statx extended;
  EXPECT_EQ(statx(AT_FDCWD, kTtl, 0, STATX_BASIC_STATS, &extended), 0);
  EXPECT_EQ(extended.stx_mode, S_IFREG | 0644);
  EXPECT_ERR(stat("/proc/sys/net/ipv4/nothing", &info), ENOENT);
  EXPECT_ERR(lstat("/proc/sys/net/ipv4/ip_default_ttl/x", &info), ENOTDIR);
  EXPECT_ERR(statx(AT_FDCWD, "/proc/sys/net/nothing", 0, STATX_BASIC_STATS, &extended), ENOENT);
  EXPECT_ERR(statx(AT_FDCWD, kTtl, 0x40000000, STATX_BASIC_STATS, &extended), EINVAL);
  EXPECT_EQ(access(kTtl, R_OK | W_OK), 0);
  EXPECT_ERR(access(kTtl, X_OK), EACCES);
  EXPECT_ERR(access("/proc/net/nothing", F_OK), ENOENT);
  EXPECT_EQ(syscall(SYS_faccessat2, AT_FDCWD, kTtl, R_OK, AT_EACCESS), 0);
  EXPECT_ERR(syscall(SYS_faccessat2, AT_FDCWD, kTtl, R_OK, 0x40000000), EINVAL);
  int fd = OK(open(kTtl, O_RDONLY));
  struct stat by_fd;
  EXPECT_EQ(stat(kTtl, &info), 0);
  EXPECT_EQ(fstat(fd, &by_fd), 0);
  EXPECT_EQ(info.st_ino, by_fd.st_ino);
}

TEST(links) {
  char target[64] = {};
  EXPECT_EQ(readlink("/proc/net", target, sizeof target), 8);
  EXPECT_TEXT(target, "self/net");
  EXPECT_EQ(readlink("/proc/net", target, 3), 3);
  int proc = OK(open("/proc", O_RDONLY | O_DIRECTORY));
  EXPECT_EQ(readlinkat(proc, "net", target, sizeof target), 8);
  EXPECT_ERR(readlink(kTtl, target, sizeof target), EINVAL);
  EXPECT_ERR(readlink("/proc/sys/net/nothing", target, sizeof target), ENOENT);
  EXPECT_ERR(readlink("/proc/net", target, 0), EINVAL);
  memset(target, 0, sizeof target);
  EXPECT(readlink("/sys/class/net/lo", target, sizeof target) > 0);
  EXPECT_TEXT(target, "../../devices/virtual/net/lo");
}

TEST(directories) {
  int fd = OK(open("/proc/sys/net/ipv4", O_RDONLY | O_DIRECTORY));
  char bytes[1024];
  int names = 0;
  bool found = false, dots = false;
  for (ssize_t n; (n = OK(getdents64(fd, bytes, sizeof bytes))) > 0;) {
    for (ssize_t at = 0; at < n;) {
      auto* entry = reinterpret_cast<dirent64*>(bytes + at);
      names++;
      found |= strcmp(entry->d_name, "ip_default_ttl") == 0 && entry->d_type == DT_REG;
      dots |= strcmp(entry->d_name, "..") == 0;
      at += entry->d_reclen;
    }
  }
  EXPECT(found && dots);
  EXPECT(names > 50);
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  EXPECT_ERR(getdents64(fd, bytes, 8), EINVAL);
  EXPECT_ERR(read(fd, bytes, 8), EISDIR);
  DIR* directory = opendir("/proc/sys/net/ipv4");
  EXPECT(directory != nullptr);
  int again = 0;
  while (readdir(directory)) again++;
  EXPECT_EQ(again, names);
  rewinddir(directory);
  EXPECT(readdir(directory) != nullptr);
  EXPECT_EQ(closedir(directory), 0);
  int file = OK(open(kTtl, O_RDONLY));
  EXPECT_ERR(getdents64(file, bytes, sizeof bytes), ENOTDIR);
  directory = opendir("/sys/class/net");
  found = false;
  while (dirent* entry = directory ? readdir(directory) : nullptr) {
    found |= strcmp(entry->d_name, "lo") == 0;
  }
  EXPECT(found);
  EXPECT_TEXT(contents("/sys/class/net/lo/mtu").c_str(), "65536\n");
}

TEST(openat2_rules) {
  open_how how = {};
  long fd = OK(openat2_of(AT_FDCWD, kTtl, how));
  EXPECT_TEXT(contents(static_cast<int>(fd)).c_str(), "64\n");
  EXPECT_ERR(openat2_of(AT_FDCWD, kTtl, how, 8), EINVAL);
  EXPECT_ERR(openat2_of(AT_FDCWD, kTtl, how, 8192), E2BIG);
  how.flags = 1ull << 40;
  EXPECT_ERR(openat2_of(AT_FDCWD, kTtl, how), EINVAL);
  how.flags = 0;
  how.resolve = RESOLVE_NO_SYMLINKS;
  EXPECT_EQ(close(static_cast<int>(OK(openat2_of(AT_FDCWD, kTtl, how)))), 0);
  EXPECT_ERR(openat2_of(AT_FDCWD, "/proc/net/dev", how), ELOOP);
  how.resolve = RESOLVE_BENEATH;
  EXPECT_ERR(openat2_of(AT_FDCWD, kTtl, how), EXDEV);
  int net = OK(open("/proc/sys/net", O_RDONLY | O_DIRECTORY));
  EXPECT_ERR(openat2_of(net, "../kernel/ostype", how), EXDEV);
  fd = OK(openat2_of(net, "ipv4/ip_default_ttl", how));
  EXPECT_TEXT(contents(static_cast<int>(fd)).c_str(), "64\n");
  how.resolve = RESOLVE_IN_ROOT;
  fd = OK(openat2_of(net, "/ipv4/ip_default_ttl", how));
  EXPECT_TEXT(contents(static_cast<int>(fd)).c_str(), "64\n");
}

TEST(changes_are_refused) {
  int fd = OK(open(kTtl, O_RDWR));
  char bytes[64];
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  struct {
    const char* name;
    long result;
    int error;
  } rows[] = {
#define ROW(call) {#call, static_cast<long>(call), errno}
      ROW(fsync(fd)),
      ROW(fdatasync(fd)),
      ROW(fallocate(fd, 0, 0, 4096)),
      ROW(ftruncate(fd, 0)),
      ROW(truncate(kTtl, 0)),
      ROW(fchmod(fd, 0600)),
      ROW(chmod(kTtl, 0600)),
      ROW(chown(kTtl, 1, 1)),
      ROW(utimensat(AT_FDCWD, kTtl, times, 0)),
      ROW(unlink(kTtl)),
      ROW(rmdir("/proc/sys/net/ipv4")),
      ROW(mkdir("/proc/sys/net/new", 0700)),
      ROW(mkdir("/proc/sys/net/ipv4", 0700)),
      ROW(rename(kTtl, "/proc/sys/net/ipv4/other")),
      ROW(rename(kTtl, "/tmp/mino-other")),
      ROW(link(kTtl, "/tmp/mino-other")),
      ROW(symlink("x", "/proc/sys/net/link")),
      ROW(mknod("/proc/sys/net/node", S_IFREG | 0600, 0)),
      ROW(creat("/proc/net/new", 0600)),
      ROW(getxattr(kTtl, "user.x", bytes, sizeof bytes)),
      ROW(setxattr(kTtl, "user.x", "y", 1, 0)),
      ROW(flock(fd, LOCK_EX | LOCK_NB)),
      ROW(unlink("/proc/net/dev")),
      ROW(unlink("/proc/sys/net/ipv4/nothing")),
  };
#undef ROW
  for (auto& row : rows) {
    errno = row.error;
    check::report("%s: %s", row.name, check::outcome(row.result));
  }
  EXPECT_TEXT(contents(kTtl).c_str(), "64\n");
}

TEST(descriptors_of_files) {
  int fd = OK(open("/proc/net/protocols", O_RDONLY)), copy = OK(dup(fd));
  char bytes[16] = {};
  EXPECT_EQ(read(fd, bytes, 4), 4);
  EXPECT_EQ(read(copy, bytes, 4), 4);  // one position for both
  EXPECT_EQ(lseek(copy, 0, SEEK_CUR), 8);
  pid_t pid = child([&] { EXPECT_EQ(read(fd, bytes, 2), 2); });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 10);  // and for the child
  EXPECT_EQ(close(fd), 0);
  EXPECT_EQ(pread(copy, bytes, 8, 0), 8);
  EXPECT_TEXT(bytes, "protocol");
  int ttl = OK(open(kTtl, O_RDONLY));
  pollfd entries[2] = {{copy, POLLIN | POLLOUT, 0}, {ttl, POLLIN, 0}};
  EXPECT_EQ(poll(entries, 2, 0), 2);
  for (auto& entry : entries) check::report("poll %#x", static_cast<unsigned>(entry.revents));
}
