// SPDX-License-Identifier: Apache-2.0
//
// The instructions that touch client memory (hook/base/user.h). The signal handler knows them by their labels, and lets a
// fault in one end the copy (hook/catch/on_signal.cc, fix_fault).

        .text

// Fault-safe copy: long mino_copy(void* to, const void* from, size_t n) = bytes NOT copied. A fault inside
// moves %rip to mino_copy_fault with %rcx = bytes left.
        .globl mino_copy, mino_copy_begin, mino_copy_fault, mino_copy_words_begin, mino_copy_words_end
        .globl mino_copy_small, mino_copy_small_begin, mino_copy_small_end
        .hidden mino_copy, mino_copy_begin, mino_copy_fault, mino_copy_words_begin, mino_copy_words_end
        .hidden mino_copy_small, mino_copy_small_begin, mino_copy_small_end
        .type mino_copy, @function
mino_copy:
        mov     %rdx, %rcx
        cmp     $8, %rdx
        jb      mino_copy_small
        cmp     $256, %rdx
        jb      mino_copy_words_begin
mino_copy_begin:
        rep movsb
mino_copy_fault:
        mov     %rcx, %rax
        ret
        // Short copies in words: rep movsb has a start-up cost of tens of cycles. A fault goes on in bytes, to be
        // exact.
mino_copy_words_begin:
        mov     (%rsi), %rax
        mov     %rax, (%rdi)
        add     $8, %rsi
        add     $8, %rdi
        sub     $8, %rcx
        cmp     $8, %rcx
        jae     mino_copy_words_begin
mino_copy_words_end:
mino_copy_small:
        test    %rcx, %rcx
        je      mino_copy_fault
mino_copy_small_begin:
.Lbytes:
        movb    (%rsi), %al
        movb    %al, (%rdi)
        inc     %rsi
        inc     %rdi
        dec     %rcx
        jne     .Lbytes
mino_copy_small_end:
        jmp     mino_copy_fault

// int mino_probe(void* p): 0 if the byte is writable. Changes nothing: an atomic OR with 0.
        .globl mino_probe, mino_probe_begin, mino_probe_fault
        .hidden mino_probe, mino_probe_begin, mino_probe_fault
        .type mino_probe, @function
mino_probe:
mino_probe_begin:
        lock orb $0, (%rdi)
        xor     %eax, %eax
        ret
mino_probe_fault:
        mov     $1, %eax
        ret

        .section .note.GNU-stack, "", @progbits
