// SPDX-License-Identifier: Apache-2.0
//
// A shared library that machine.cc loads long after startup. Its system calls are made by
// instructions that no scan could have seen before.

#include <sys/syscall.h>

#ifdef ZEROES
char plugin_zeroes[ZEROES];
#endif

// The number is right before the instruction, as in libc.
extern "C" long plugin_send(int fd, const void* data, unsigned long size) {
  long result;
  register long flags asm("r10") = 0;
  register long address asm("r8") = 0;
  register long length asm("r9") = 0;
  asm volatile(
      "movl %[number], %%eax\n\t"
      "syscall"
      : "=&a"(result)
      : [number] "i"(SYS_sendto), "D"(static_cast<long>(fd)), "S"(data), "d"(size), "r"(flags),
        "r"(address), "r"(length)
      : "rcx", "r11", "memory");
  return result;
}

// The number is an argument, from far away.
extern "C" long plugin_call(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long fourth asm("r10") = d;
  register long fifth asm("r8") = e;
  register long sixth asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
               : "rcx", "r11", "memory");
  return result;
}
