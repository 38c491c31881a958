// SPDX-License-Identifier: Apache-2.0
//
// The instructions that touch client memory, for hook/base/user.h. The signal handler knows them by
// their labels: when one of them faults, it ends the copy (fix_fault in hook/catch/on_signal.cc).

        .text

// long mino_copy(void* to, const void* from, size_t n): copies, and returns how many bytes were NOT
// copied. On a fault inside, the handler moves %rip to mino_copy_fault, with %rcx = bytes left.
        .globl mino_copy, mino_copy_begin, mino_copy_fault
        .globl mino_copy_words_begin, mino_copy_words_end
        .globl mino_copy_small, mino_copy_small_begin, mino_copy_small_end
        .hidden mino_copy, mino_copy_begin, mino_copy_fault
        .hidden mino_copy_words_begin, mino_copy_words_end
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
        // Short copies go word by word: rep movsb takes tens of cycles to start. After a fault in a
        // word the copy continues byte by byte, so that the count is exact.
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

// int mino_probe(void* p): 0 if the byte is writable. An atomic OR with 0 changes nothing.
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
