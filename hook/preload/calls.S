// SPDX-License-Identifier: Apache-2.0
//
// The preload tier's way into the hook: functions of libc, under their own names, that enter
// mino_entry as a patched site would (hook/catch/entry.S: %rcx return address, %r11 distance from
// it back to where the call restarts). To their callers they are ordinary functions, and preserve
// only what a function must preserve. They must make no system call past the hook.

#include <asm/unistd_64.h>
#include <linux/errno.h>

#define ERRAND 511                      // hook/state/thread.h

        .text
        .hidden mino_entry, mino_waiting_call, mino_interest
        .weak   __errno_location

.macro enter_hook
.Lsite\@:
        lea     .Lback\@(%rip), %rcx
        mov     $(.Lback\@ - .Lsite\@), %r11d
        jmp     mino_entry
.Lback\@:
.endm

// For a call whose child continues elsewhere. Before startup (a library's constructor may run
// before ours), and where the hook cannot start, mino_entry keeps its return address on the stack,
// where the child may overwrite it. Then the call is made right here.
.macro enter_hook_if_started
        cmpb    $0, mino_interest+ERRAND(%rip)
        jne     .Lstarted\@
        syscall
        jmp     .Ldone\@
.Lstarted\@:
        enter_hook
.Ldone\@:
.endm

// long mino_call(long nr, a, b, c, d, e, f): returns the call's result; an error is a negative
// number.
        .globl mino_call
        .hidden mino_call
        .type mino_call, @function
mino_call:
        .cfi_startproc
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        mov     %r9, %r8
        mov     8(%rsp), %r9
        enter_hook
        ret
        .cfi_endproc

// %eax is the number; all other registers are as the caller of the libc function left them.
        .type mino_plain, @function
mino_plain:
        .cfi_startproc
        mov     %rcx, %r10
        enter_hook
        cmp     $-4095, %rax
        jae     .Lerror
        ret
.Lerror:
        push    %rax
        .cfi_adjust_cfa_offset 8
        call    *__errno_location@GOTPCREL(%rip)
        pop     %rcx
        .cfi_adjust_cfa_offset -8
        neg     %ecx
        mov     %ecx, (%rax)
        mov     $-1, %rax
        ret
        .cfi_endproc

        .type mino_waits, @function
mino_waits:
        .cfi_startproc
        push    %r9
        .cfi_adjust_cfa_offset 8
        mov     %r8, %r9
        mov     %rcx, %r8
        mov     %rdx, %rcx
        mov     %rsi, %rdx
        mov     %rdi, %rsi
        mov     %eax, %edi
        call    mino_waiting_call
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        cmp     $-4095, %rax
        jae     .Lerror
        ret
        .cfi_endproc

#define ROW(name, number, way) \
        .globl  name; \
        .type   name, @function; \
name:   .cfi_startproc; \
        mov     $number, %eax; \
        jmp     way; \
        .cfi_endproc; \
        .size   name, . - name;
#define PLAIN(name, number) ROW(name, number, mino_plain)
#define WAITS(name, number) ROW(name, number, mino_waits)
#include "hook/preload/calls.h"

// vfork: the child returns first, and what it calls overwrites the return address, so a register
// keeps it.
        .globl  vfork, __vfork
        .type   vfork, @function
        .type   __vfork, @function
vfork:
__vfork:
        .cfi_startproc
        pop     %rdi
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rdi
        mov     $__NR_vfork, %eax
        enter_hook_if_started
        push    %rdi
        .cfi_adjust_cfa_offset 8
        .cfi_offset rip, -8
        cmp     $-4095, %rax
        jae     .Lerror
        ret
        .cfi_endproc

// int clone(int (*fn)(void*), void* stack, int flags, void* arg, pid_t* ptid, void* tls,
//           pid_t* ctid)
        .globl  clone, __clone
        .type   clone, @function
        .type   __clone, @function
clone:
__clone:
        .cfi_startproc
        mov     $-EINVAL, %rax
        test    %rdi, %rdi
        je      .Lerror
        and     $-16, %rsi
        je      .Lerror
        sub     $16, %rsi
        mov     %rcx, 8(%rsi)
        mov     %rdi, (%rsi)
        movslq  %edx, %rdi
        mov     %r8, %rdx
        mov     %r9, %r8
        mov     8(%rsp), %r10
        mov     $__NR_clone, %eax
        enter_hook_if_started
        test    %rax, %rax
        jl      .Lerror
        je      .Lchild
        ret
        .cfi_endproc
.Lchild:
        .cfi_startproc
        .cfi_undefined rip
        xor     %ebp, %ebp
        pop     %rax
        pop     %rdi
        call    *%rax
        mov     %eax, %edi
        mov     $__NR_exit, %eax
        enter_hook
        hlt
        .cfi_endproc

        .section .note.GNU-stack, "", @progbits
