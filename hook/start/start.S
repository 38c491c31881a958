// SPDX-License-Identifier: Apache-2.0
//
// libminoc.so as a program: the kernel has executed it in place of a program that ld.so does not
// bring the hook into (hook/start/load.cc). It has no interpreter, so this is the first instruction
// that runs.

        .text
        .hidden mino_load

        .globl mino_start
        .hidden mino_start
        .type mino_start, @function
mino_start:
        .cfi_startproc
        .cfi_undefined rip
        xor     %ebp, %ebp
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    mino_load               // does not return
        ud2
        .cfi_endproc

// [[noreturn]] mino_enter_program(stack, start): jumps to `start` with the registers that the
// kernel gives a new program.
        .globl mino_enter_program
        .hidden mino_enter_program
        .type mino_enter_program, @function
mino_enter_program:
        .cfi_startproc
        .cfi_undefined rip
        mov     %rdi, %rsp
        mov     %rsi, %rcx
        xor     %eax, %eax
        xor     %ebx, %ebx
        xor     %edx, %edx
        xor     %esi, %esi
        xor     %edi, %edi
        xor     %ebp, %ebp
        xor     %r8d, %r8d
        xor     %r9d, %r9d
        xor     %r10d, %r10d
        xor     %r11d, %r11d
        xor     %r12d, %r12d
        xor     %r13d, %r13d
        xor     %r14d, %r14d
        xor     %r15d, %r15d
        cld
        jmp     *%rcx
        .cfi_endproc

        .section .note.GNU-stack, "", @progbits
