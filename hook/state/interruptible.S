// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/interruptible.h.

#include "hook/entry_offsets.h"  // generated from hook/catch/entry_offsets.cc

        .text

// long mino_interruptible(ThreadState*, nr, args*): a blocking host call made by the hook. If a
// signal is deferred before the call begins, or interrupts it so that the kernel would restart it,
// the signal handler moves %rip to mino_interruptible_abort.
        .globl mino_interruptible, mino_interruptible_begin, mino_interruptible_syscall
        .hidden mino_interruptible, mino_interruptible_begin, mino_interruptible_syscall
        .globl mino_interruptible_abort
        .hidden mino_interruptible_abort
        .type mino_interruptible, @function
mino_interruptible:
        .cfi_startproc
        push    %rbx
        .cfi_def_cfa_offset 16
        .cfi_offset rbx, -16
        push    %rsi                    // for the signal handler, if the call is to go on
        .cfi_def_cfa_offset 24
        mov     %rdi, %rbx
        mov     %rsi, %rax
        mov     %rdx, %r11
        mov     (%r11), %rdi
        mov     8(%r11), %rsi
        mov     16(%r11), %rdx
        mov     24(%r11), %r10
        mov     32(%r11), %r8
        mov     40(%r11), %r9
mino_interruptible_begin:
        cmpl    $0, TS_DEFERRED(%rbx)
        jne     mino_interruptible_abort
mino_interruptible_syscall:
        syscall
        pop     %rsi
        .cfi_def_cfa_offset 16
        pop     %rbx
        .cfi_def_cfa_offset 8
        ret
mino_interruptible_abort:
        .cfi_def_cfa_offset 24
        mov     $-512, %rax             // ERESTARTSYS: nothing happened
        pop     %rsi
        .cfi_def_cfa_offset 16
        pop     %rbx
        .cfi_def_cfa_offset 8
        ret
        .cfi_endproc

        .section .note.GNU-stack, "", @progbits
