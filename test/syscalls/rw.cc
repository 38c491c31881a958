// SPDX-License-Identifier: Apache-2.0
//
// The file calls on a socket: reads and writes of every kind, and that nothing else about the
// descriptor shows that it is not an ordinary socket of this kernel.

#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "loopback.h"
#include "memory.h"

TEST(read_and_write) {
  Pair pair = tcp_pair();
  auto data = pattern(9000);
  unsigned char got[9000];
  EXPECT_EQ(write(pair.a, data.data(), data.size()), 9000);
  for (size_t at = 0; at < sizeof got;) at += static_cast<size_t>(OK(read(pair.b, got + at, 700)));
  EXPECT(is_pattern(got, sizeof got));
  iovec out[3] = {piece(data.data(), 100), piece(nullptr, 0), piece(data.data() + 100, 200)};
  EXPECT_EQ(writev(pair.a, out, 3), 300);
  memset(got, 0, sizeof got);
  iovec in[2] = {piece(got + 150, 150), piece(got, 150)};
  EXPECT(readable(pair.b));
  EXPECT_EQ(readv(pair.b, in, 2), 300);
  EXPECT(is_pattern(got + 150, 150) && is_pattern(got, 150, 150));
  close_pair(pair);
  EXPECT_ERR(read(pair.a, got, 1), EBADF);
  EXPECT_ERR(write(pair.a, got, 1), EBADF);
  EXPECT_ERR(readv(pair.a, in, 2), EBADF);
  EXPECT_ERR(writev(pair.a, out, 2), EBADF);
}

TEST(positions) {
  Pair pair = tcp_pair();
  char bytes[16] = {};
  iovec part = piece(bytes, sizeof bytes);
  EXPECT_ERR(pread(pair.a, bytes, 1, 0), ESPIPE);
  EXPECT_ERR(pwrite(pair.a, bytes, 1, 0), ESPIPE);
  EXPECT_ERR(pread(pair.a, bytes, 1, -1), EINVAL);
  EXPECT_ERR(preadv(pair.a, &part, 1, 0), ESPIPE);
  EXPECT_ERR(pwritev(pair.a, &part, 1, 0), ESPIPE);
  EXPECT_ERR(preadv2(pair.a, &part, 1, 0, 0), ESPIPE);
  EXPECT_ERR(pwritev2(pair.a, &part, 1, 5, 0), ESPIPE);
  EXPECT_ERR(preadv(pair.a, &part, 1, -1), EINVAL);
  EXPECT_ERR(pread(-1, bytes, 1, 0), EBADF);
  EXPECT_ERR(lseek(pair.a, 0, SEEK_CUR), ESPIPE);
  EXPECT_ERR(lseek(pair.a, 1, SEEK_SET), ESPIPE);
  EXPECT_ERR(lseek(pair.a, 0, SEEK_END), ESPIPE);
}

TEST(vectors_with_flags) {
  Pair pair = tcp_pair();
  char bytes[16] = {};
  iovec part = piece("hello", 5), room = piece(bytes, sizeof bytes);
  // With offset -1 these are writev and readv.
  EXPECT_EQ(pwritev2(pair.a, &part, 1, -1, 0), 5);
  EXPECT(readable(pair.b));
  EXPECT_EQ(preadv2(pair.b, &room, 1, -1, 0), 5);
  EXPECT_TEXT(bytes, "hello");
  EXPECT_ERR(preadv2(pair.b, &room, 1, -1, RWF_NOWAIT), EAGAIN);
  EXPECT_EQ(pwritev2(pair.a, &part, 1, -1, RWF_NOWAIT), 5);
  EXPECT(readable(pair.b));
  EXPECT_EQ(preadv2(pair.b, &room, 1, -1, RWF_NOWAIT), 5);
  EXPECT_ERR(preadv2(pair.b, &room, 1, -1, 0x40000000), EOPNOTSUPP);
  check::report("RWF_APPEND %s", check::outcome(pwritev2(pair.a, &part, 1, -1, RWF_APPEND)));
  check::report("RWF_DSYNC %s", check::outcome(pwritev2(pair.a, &part, 1, -1, RWF_DSYNC)));
  check::report("RWF_HIPRI %s", check::outcome(pwritev2(pair.a, &part, 1, -1, RWF_HIPRI)));
}

TEST(calls_for_files) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERR(fsync(fd), EINVAL);
  EXPECT_ERR(fdatasync(fd), EINVAL);
  EXPECT_ERR(ftruncate(fd, 0), EINVAL);
  EXPECT_ERR(fallocate(fd, 0, 0, 4096), ENODEV);
  EXPECT_ERR(sync_file_range(fd, 0, 1, 0), ESPIPE);
  EXPECT_ERR(readahead(fd, 0, 4096), EINVAL);
  EXPECT_ERR(fchdir(fd), ENOTDIR);
  char bytes[256];
  EXPECT_ERR(syscall(SYS_getdents64, fd, bytes, sizeof bytes), ENOTDIR);
  EXPECT_ERR(openat(fd, "name", O_RDONLY), ENOTDIR);
  EXPECT_ERR(ioctl(fd, FS_IOC_GETFLAGS, bytes), ENOTTY);
  EXPECT_ERR(fcntl(fd, F_GETPIPE_SZ), EBADF);
  check::report("syncfs %s", check::outcome(syncfs(fd)));
  check::report("posix_fadvise %s", check::error_name(posix_fadvise(fd, 0, 0, 0)));
}

TEST(not_a_file) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  struct stat info;
  EXPECT_EQ(fstat(fd, &info), 0);
  EXPECT_EQ(info.st_mode, S_IFSOCK | 0777);
  EXPECT_EQ(info.st_size, 0);
  EXPECT_EQ(info.st_blocks, 0);
  EXPECT_EQ(info.st_blksize, 4096);
  EXPECT_EQ(info.st_nlink, 1);
  EXPECT_EQ(info.st_uid, geteuid());
  EXPECT_EQ(fstatat(fd, "", &info, AT_EMPTY_PATH), 0);
  EXPECT_EQ(info.st_mode, S_IFSOCK | 0777);
  struct statx extended;
  EXPECT_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &extended), 0);
  EXPECT_EQ(extended.stx_mode, S_IFSOCK | 0777);
  EXPECT_EQ(extended.stx_size, 0);
  struct statfs filesystem;
  EXPECT_EQ(fstatfs(fd, &filesystem), 0);
  EXPECT_EQ(filesystem.f_type, 0x534f434b);  // SOCKFS_MAGIC
  // A memory file would allow all of these.
  int udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, udp, 0), ENODEV);
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, udp, 0), ENODEV);
  EXPECT_ERR(fcntl(fd, F_GET_SEALS), EINVAL);
  EXPECT_ERR(fcntl(fd, F_ADD_SEALS, 0), EINVAL);
}

TEST(same_socket_same_inode) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0)), other = OK(socket(AF_INET, SOCK_STREAM, 0));
  int copy = OK(dup(fd));
  struct stat one, two, three;
  EXPECT_EQ(fstat(fd, &one), 0);
  EXPECT_EQ(fstat(copy, &two), 0);
  EXPECT_EQ(fstat(other, &three), 0);
  EXPECT_EQ(one.st_ino, two.st_ino);
  EXPECT_EQ(one.st_dev, two.st_dev);
  EXPECT(one.st_ino != three.st_ino);
}

TEST(owner_and_mode) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  struct stat info;
  EXPECT_EQ(fchmod(fd, 0600), 0);
  EXPECT_EQ(fstat(fd, &info), 0);
  EXPECT_EQ(info.st_mode, S_IFSOCK | 0600);
  EXPECT_EQ(fchown(fd, 65534, 65534), 0);
  EXPECT_EQ(fstat(fd, &info), 0);
  EXPECT_EQ(info.st_uid, 65534);
  char name[64] = {};
  EXPECT_EQ(fgetxattr(fd, "system.sockprotoname", name, sizeof name), 4);
  EXPECT_TEXT(name, "TCP");
  EXPECT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(flock(fd, LOCK_UN), 0);
}

TEST(link_in_proc_self_fd) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  char path[64], target[64] = {};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT(readlink(path, target, sizeof target - 1) > 0);
  EXPECT(check::starts_with(target, "socket:["));
  EXPECT_ERR(open(path, O_RDWR), ENXIO);
  struct stat info;
  EXPECT_EQ(stat(path, &info), 0);
  EXPECT(S_ISSOCK(info.st_mode));
}

TEST(stdio_on_a_socket) {
  Pair pair = tcp_pair();
  FILE* out = fdopen(pair.a, "r+");
  FILE* in = fdopen(pair.b, "r");
  EXPECT(out && in);
  EXPECT(fprintf(out, "line %d\nand %s\n", 1, "another") > 0);
  EXPECT_EQ(fflush(out), 0);
  char line[32];
  EXPECT(fgets(line, sizeof line, in) != nullptr);
  EXPECT_TEXT(line, "line 1\n");
  EXPECT(fgets(line, sizeof line, in) != nullptr);
  EXPECT_TEXT(line, "and another\n");
  EXPECT_EQ(fclose(out), 0);
  EXPECT_EQ(fgetc(in), EOF);
  EXPECT(feof(in));
  EXPECT_EQ(fclose(in), 0);
  EXPECT_EQ(dprintf(pair.a, "x"), -1);
}

TEST(huge_lengths) {
  Pair pair = tcp_pair();
  char byte = 0;
  EXPECT_EQ(write(pair.b, "z", 1), 1);
  EXPECT(readable(pair.a));
  // A length beyond the address space is no buffer; a merely large one is cut down.
  EXPECT_ERR(syscall(SYS_read, pair.a, &byte, SIZE_MAX), EFAULT);
  EXPECT_ERR(syscall(SYS_write, pair.a, &byte, SIZE_MAX), EFAULT);
  static char room[8];  // not on the stack, above which the address space ends
  EXPECT_EQ(syscall(SYS_read, pair.a, room, size_t{0x7fffffff}), 1);
  EXPECT_EQ(room[0], 'z');
}
