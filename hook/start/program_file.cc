// SPDX-License-Identifier: Apache-2.0
//
// See hook/start/program_file.h. ELF files and script lines are parsed by abi/program_file.h.
#include "hook/start/program_file.h"

#include "abi/program_file.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"

namespace mino::hook {

namespace {

constexpr u64 kPage = 4096;
constexpr u32 kLoad = abi::ProgramHeader::kLoad;

// An open file, closed by the destructor.
class File {
 public:
  explicit File(const char* path)
      : fd_(raw(__NR_openat, AT_FDCWD, ptr(path), O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) {}
  ~File() {
    if (!is_error(fd_)) raw(__NR_close, number());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  long error() const { return is_error(fd_) ? fd_ : 0; }
  u64 number() const { return static_cast<u64>(fd_); }
  bool read(void* to, u64 bytes, u64 at) const {
    return raw(__NR_pread64, number(), ptr(to), bytes, at) == static_cast<long>(bytes);
  }

 private:
  long fd_;
};

bool read_headers(const File& file, abi::ElfFile& elf) {
  return elf.load([&](void* to, u64 bytes, u64 at) { return file.read(to, bytes, at); });
}

// Whether this user may execute the file, and exec leaves the credentials as they are.
bool executable(const char* path, const File& file) {
  if (raw(__NR_faccessat2, AT_FDCWD, ptr(path), X_OK, AT_EACCESS) != 0) return false;
  struct stat about;
  if (raw(__NR_fstat, file.number(), ptr(&about)) != 0) return false;
  if ((about.st_mode & S_IFMT) != S_IFREG || (about.st_mode & (S_ISUID | S_ISGID)) != 0)
    return false;
  return raw(__NR_geteuid) == 0 ||
         raw(__NR_fgetxattr, file.number(), ptr("security.capability"), 0, 0) < 0;
}

bool is_loadable(const char* path, bool all, abi::ScriptLine* script) {
  const File file(path);
  if (file.error() || !executable(path, file)) return false;
  if (script) {
    char head[abi::ScriptLine::kMaxBytes];
    const long got = raw(__NR_pread64, file.number(), ptr(head), sizeof head - 1, 0);
    if (got > 0 && script->parse(head, static_cast<u32>(got))) return true;
    script->interpreter[0] = 0;
  }
  abi::ElfFile elf;
  return read_headers(file, elf) && (all || !elf.find(abi::ProgramHeader::kInterpreter));
}

long map(u64 at, u64 bytes, u64 protection, u64 flags, u64 fd, u64 offset) {
  return raw(__NR_mmap, at, bytes, protection, flags, fd, offset);
}

// The span of addresses that the segments of a program need.
struct Span {
  u64 low = ~0ull, high = 0, align = kPage;
};

// Judges the segments as elf_load in fs/binfmt_elf.c does. Where the kernel's exec would find the
// mistake when it is too late to return, that is -EINVAL.
long measure(const abi::ElfFile& h, Span& span) {
  for (u32 i = 0; i < h.header.program_header_count; i++) {
    const abi::ProgramHeader& p = h.program[i];
    if (p.type != kLoad) continue;
    // The offset of a segment without bytes in the file means nothing.
    if (p.address + p.memory_bytes < p.address || p.file_bytes > p.memory_bytes ||
        (p.file_bytes && (p.address ^ p.offset) % kPage != 0))
      return -EINVAL;
    if (p.memory_bytes == 0) continue;
    span.low = min(span.low, p.address & ~(kPage - 1));
    if (p.address + p.memory_bytes > span.high) span.high = p.address + p.memory_bytes;
    if (p.align > span.align && (p.align & (p.align - 1)) == 0 && p.align <= (1u << 30))
      span.align = p.align;
  }
  return span.low < span.high ? 0 : -EINVAL;
}

// Maps one segment; its addresses are `bias` too low.
long map_segment(const File& file, const abi::ProgramHeader& p, u64 bias) {
  const u64 executable = p.flags & PF_X ? u64{PROT_EXEC} : 0;
  const u64 protection =
      (p.flags & PF_R ? u64{PROT_READ} : 0) | (p.flags & PF_W ? u64{PROT_WRITE} : 0) | executable;
  const u64 begin = (p.address + bias) & ~(kPage - 1);
  const u64 file_end = p.address + bias + p.file_bytes;
  const u64 mapped_end = p.file_bytes ? (file_end + kPage - 1) & ~(kPage - 1) : begin;
  const u64 end = (p.address + bias + p.memory_bytes + kPage - 1) & ~(kPage - 1);
  if (p.file_bytes) {
    const long at = map(begin, mapped_end - begin, protection, MAP_PRIVATE | MAP_FIXED,
                        file.number(), p.offset & ~(kPage - 1));
    if (is_error(at)) return at;
  }
  if (end > mapped_end) {  // writable whatever the flags say, as vm_brk_flags makes it
    const long at = map(mapped_end, end - mapped_end, PROT_READ | PROT_WRITE | executable,
                        MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, ~0ull, 0);
    if (is_error(at)) return at;
  }
  // The rest of the last page of file bytes is zero, as far as it belongs to the segment.
  if (p.memory_bytes > p.file_bytes && mapped_end > file_end && p.file_bytes) {
    if (!(p.flags & PF_W)) raw(__NR_mprotect, begin, mapped_end - begin, PROT_READ | PROT_WRITE);
    fill(reinterpret_cast<void*>(file_end), 0, mapped_end - file_end);
    if (!(p.flags & PF_W)) raw(__NR_mprotect, begin, mapped_end - begin, protection);
  }
  return 0;
}

// Maps one ELF file, at `wanted` if that is not 0. `bias` is what must be added to its addresses.
long map_segments(const File& file, const abi::ElfFile& h, u64& bias, u64 wanted = 0) {
  Span span;
  if (const long error = measure(h, span)) return error;
  const u64 bytes = (span.high - span.low + kPage - 1) & ~(kPage - 1);
  const u64 low = span.low, align = span.align;
  u64 base = low;
  if (h.header.type == abi::ElfFile::kIndependent && !wanted) {
    const long room =
        map(0, bytes + align, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0);
    if (is_error(room)) return room;
    const u64 at = static_cast<u64>(room);
    base = ((at - low + align - 1) & ~(align - 1)) + low;
    if (base > at) raw(__NR_munmap, at, base - at);
    if (at + align > base) raw(__NR_munmap, base + bytes, at + align - base);
  } else {
    base = wanted ? wanted + low : low;
    const long room =
        map(base, bytes, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
            ~0ull, 0);
    if (is_error(room)) return room;
  }
  bias = base - low;
  for (u32 i = 0; i < h.header.program_header_count; i++) {
    const abi::ProgramHeader& p = h.program[i];
    if (p.type != kLoad || p.memory_bytes == 0) continue;
    if (const long error = map_segment(file, p, bias)) return error;
  }
  return 0;
}

}  // namespace

bool needs_loading(const char* path, bool all, ProgramFile& file) {
  abi::ScriptLine line;
  if (!is_loadable(path, all, &line)) return false;
  file.script = line.interpreter[0] != 0;
  print(file.path, file.script ? line.interpreter : path)[0] = 0;
  print(file.argument, file.script ? line.argument : "")[0] = 0;
  return !file.script || is_loadable(file.path, all, nullptr);
}

long map_again(const char* path, const void* mapped, u64 base) {
  abi::ElfFile h;
  const auto from_memory = [&](void* to, u64 bytes, u64 at) {
    copy(to, static_cast<const u8*>(mapped) + at, bytes);
    return true;
  };
  if (!h.load(from_memory)) return -ENOEXEC;
  const File file(path);
  if (file.error()) return file.error();
  u64 bias;
  return map_segments(file, h, bias, base);
}

long load_program(const char* path, LoadedProgram& loaded) {
  const File file(path);
  if (file.error()) return file.error();
  abi::ElfFile h;
  if (!read_headers(file, h)) return -ENOEXEC;
  u64 bias = 0;
  if (const long error = map_segments(file, h, bias)) return error;
  loaded.start = loaded.entry = h.header.entry + bias;
  loaded.header_count = h.header.program_header_count;
  loaded.interpreter = loaded.headers = 0;
  for (u32 i = 0; i < h.header.program_header_count; i++) {
    const abi::ProgramHeader& p = h.program[i];
    if (p.type == kLoad && h.header.headers_at >= p.offset &&
        h.header.headers_at < p.offset + p.file_bytes) {
      loaded.headers = h.header.headers_at - p.offset + p.address + bias;
    }
  }
  const abi::ProgramHeader* const interp = h.find(abi::ProgramHeader::kInterpreter);
  if (!interp) return 0;
  char name[256];
  if (interp->file_bytes == 0 || interp->file_bytes > sizeof name ||
      !file.read(name, interp->file_bytes, interp->offset) || name[interp->file_bytes - 1] != 0) {
    return -ENOEXEC;
  }
  const File loader(name);
  if (loader.error()) return loader.error();
  if (!read_headers(loader, h)) return -ELIBBAD;
  u64 loader_bias = 0;
  if (const long error = map_segments(loader, h, loader_bias)) return error;
  loaded.start = h.header.entry + loader_bias;
  loaded.interpreter = loader_bias;
  return 0;
}

}  // namespace mino::hook
