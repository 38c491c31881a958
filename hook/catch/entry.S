// SPDX-License-Identifier: Apache-2.0
//
// Where patched sites, trapped system calls and signals enter the hook, and where new threads and
// children begin. It holds everything that C++ cannot express: exact registers, stacks, and the
// instruction ranges that the signal handler recognises.
//
// A site arrives with the program's registers, and %rax = the number, %rcx = the return address,
// %r11 = the distance from there back to where the call can be restarted. (The kernel clobbers %rcx
// and %r11 in every system call, so no program keeps anything in them.) The red zone is never
// written.

#include <asm/unistd_64.h>

#include "hook/entry_offsets.h"  // generated from hook/catch/entry_offsets.cc

// Unwind information for debuggers, which then see the program's own stack behind the hook's: the
// caller's registers are in the ThreadState at %rbx. DWARF 5, 6.4.2: CFA = *(rbx + F_RSP); register
// = *(rbx + F_…). AT_RBX is %rbx with an offset, as an operand of DW_CFA_expression: DW_OP_breg3
// and an SLEB128 of two bytes.
#define AT_RBX(offset) 0x73, ((offset) & 0x7f) | 0x80, (offset) >> 7
        .macro cfi_frame_in_thread_state
        .cfi_escape 0xf, 0x4, AT_RBX(F_RSP), 0x6   // the CFA
        .cfi_escape 0x10, 0, 0x3, AT_RBX(F_RAX)
        .cfi_escape 0x10, 3, 0x3, AT_RBX(F_RBX)
        .cfi_escape 0x10, 1, 0x3, AT_RBX(F_RDX)
        .cfi_escape 0x10, 4, 0x3, AT_RBX(F_RSI)
        .cfi_escape 0x10, 5, 0x3, AT_RBX(F_RDI)
        .cfi_escape 0x10, 6, 0x3, AT_RBX(F_RBP)
        .cfi_escape 0x10, 8, 0x3, AT_RBX(F_R8)
        .cfi_escape 0x10, 9, 0x3, AT_RBX(F_R9)
        .cfi_escape 0x10, 0xa, 0x3, AT_RBX(F_R10)
        .cfi_escape 0x10, 0xc, 0x3, AT_RBX(F_R12)
        .cfi_escape 0x10, 0xd, 0x3, AT_RBX(F_R13)
        .cfi_escape 0x10, 0xe, 0x3, AT_RBX(F_R14)
        .cfi_escape 0x10, 0xf, 0x3, AT_RBX(F_R15)
        .cfi_escape 0x10, 0x10, 0x3, AT_RBX(F_RIP)
        .endm

        .text
        .hidden mino_dispatch, mino_thread_new, mino_on_signal, mino_child_start
        .hidden mino_interest, mino_threads, mino_paths_matter, mino_open_window

// Finds the slot of this %fs base in the thread table, puts it into %r11 and jumps to \found.
// Changes %rcx and %rdx.
.macro find_slot found, unknown
        rdfsbase %rcx
        movabs  $0x9e3779b97f4a7c15, %rdx
        imul    %rcx, %rdx
        shr     $(64 - TABLE_BITS), %rdx
.Lprobe\@:
        lea     mino_threads(%rip), %r11
        shl     $SLOT_BYTES_LOG2, %rdx
        add     %rdx, %r11
        cmp     SLOT_FS_BASE(%r11), %rcx
        je      \found
        cmpq    $0, SLOT_FS_BASE(%r11)
        je      \unknown
        shr     $SLOT_BYTES_LOG2, %rdx
        inc     %edx
        and     $((1 << TABLE_BITS) - 1), %edx
        jmp     .Lprobe\@
.endm

// Loads the registers that a thread continues with, except %rax. %r11 is its state.
.macro load_frame
        mov     F_RBX(%r11), %rbx
        mov     F_RDX(%r11), %rdx
        mov     F_RSI(%r11), %rsi
        mov     F_RDI(%r11), %rdi
        mov     F_RBP(%r11), %rbp
        mov     F_R8(%r11), %r8
        mov     F_R9(%r11), %r9
        mov     F_R10(%r11), %r10
        mov     F_R12(%r11), %r12
        mov     F_R13(%r11), %r13
        mov     F_R14(%r11), %r14
        mov     F_R15(%r11), %r15
        mov     F_RSP(%r11), %rsp
.endm

        .globl mino_entry
        .hidden mino_entry
        .type mino_entry, @function
        .balign 64
mino_entry:
        .cfi_startproc
        .cfi_def_cfa rsp, 0
        .cfi_register rip, rcx
        cmp     $__NR_exit, %rax
        je      .Lexit_thread
        lea     -128(%rsp), %rsp
        .cfi_def_cfa_offset 128
        push    %rcx
        .cfi_def_cfa_offset 136
        .cfi_offset rip, -136
        push    %r11
        .cfi_def_cfa_offset 144
        cmp     $INTERESTS, %rax
        jae     .Llocal
        lea     mino_interest(%rip), %rcx
        cmpb    $0, (%rcx,%rax)
        je      .Llocal
        push    %rdx
        .cfi_def_cfa_offset 152
        // Find the thread: open addressing by the %fs base, which differs between live threads.
.Llookup:
        find_slot .Lfound, .Lunknown
.Lfound:
        mov     SLOT_STATE(%r11), %rdx
        cmpq    $0, TS_TWIN(%rdx)
        jne     .Ltwins
.Lthread:
        cmpl    $IN_HOOK_OUTSIDE, TS_IN_HOOK(%rdx)
        jne     .Lnested
        decl    TS_CALLS_LEFT(%rdx)
        je      .Lenter
        // Most calls are on descriptors that the hook knows nothing about. Those stay on this
        // stack.
        lea     mino_interest(%rip), %rcx
        movzbl  (%rcx,%rax), %r11d
        cmp     $ASK_IF_FLAGGED, %r11d
        jb      .Lenter
        cmp     $ASK_IF_PATHS, %r11d
        je      .Lpath
        mov     TS_PROCESS(%rdx), %rcx
        mov     PROCESS_FDS(%rcx), %rcx
        cmp     $MAX_FD, %edi
        jae     .Lenter
        cmp     $ASK_IF_FLAGGED, %r11d
        mov     %edi, %r11d
        jne     .Leither
.Lfirst:
        cmpb    $0, (%rcx,%r11)
        je      .Lnested
.Lenter:
        movl    $IN_HOOK_INSIDE, TS_IN_HOOK(%rdx)
        mov     %rax, F_RAX(%rdx)
        mov     %rbx, F_RBX(%rdx)
        mov     %rsi, F_RSI(%rdx)
        mov     %rdi, F_RDI(%rdx)
        mov     %rbp, F_RBP(%rdx)
        mov     %r8, F_R8(%rdx)
        mov     %r9, F_R9(%rdx)
        mov     %r10, F_R10(%rdx)
        mov     %r12, F_R12(%rdx)
        mov     %r13, F_R13(%rdx)
        mov     %r14, F_R14(%rdx)
        mov     %r15, F_R15(%rdx)
        pop     %rcx
        mov     %rcx, F_RDX(%rdx)
        pop     %rcx
        mov     %rcx, F_RESTART(%rdx)
        pop     %rcx
        mov     %rcx, F_RIP(%rdx)
        lea     128(%rsp), %rcx
        mov     %rcx, F_RSP(%rdx)
.Ldispatch:
        mov     TS_STACK(%rdx), %rsp
        .cfi_undefined rip
        mov     %rdx, %rdi
        mov     %rdx, %rbx
        cfi_frame_in_thread_state
        xor     %ebp, %ebp
        cld
        call    mino_dispatch           // 0: handled, result in F_RAX; 1: execute on the host
        mov     %rbx, %r11
        test    %eax, %eax
        jne     .Lexit_local
        jmp     .Lexit_handled
        .cfi_endproc

        .type mino_other_asks, @function
mino_other_asks:
        .cfi_startproc
        .cfi_def_cfa rsp, 152
        .cfi_offset rip, -136
.Leither:
        cmpb    $0, (%rcx,%r11)
        jne     .Lenter
        mov     %esi, %r11d
        cmp     $MAX_FD, %r11d
        jb      .Lfirst
        jmp     .Lenter
.Lpath:
        cmpb    $0, mino_paths_matter(%rip)
        je      .Lnested
        jmp     .Lenter
        .cfi_endproc

        // A thread that ends may have given its stack away already (Go), or unmapped it (musl), so
        // its stack is not touched. Its registers no longer matter, except those that a signal
        // handler may see.
        .type mino_exit_thread, @function
mino_exit_thread:
        .cfi_startproc
        .cfi_def_cfa rsp, 0
        .cfi_register rip, r8
.Lexit_thread:
        mov     %rcx, %r8
        mov     %r11, %r9
        cmpb    $0, mino_interest+__NR_exit(%rip)
        je      .Lexit_now
        find_slot .Lexit_found, .Lexit_now
.Lexit_found:
        mov     SLOT_STATE(%r11), %rdx
        cmpq    $0, TS_TWIN(%rdx)
        je      .Lexit_known
        mov     $__NR_gettid, %eax
        syscall
.Lexit_twin:
        cmp     TS_TID(%rdx), %eax
        je      .Lexit_known
        mov     TS_TWIN(%rdx), %rdx
        test    %rdx, %rdx
        jne     .Lexit_twin
.Lexit_now:
        mov     $__NR_exit, %eax
        syscall
        jmp     *%r8                    // a seccomp filter refused
.Lexit_known:
        cmpl    $IN_HOOK_OUTSIDE, TS_IN_HOOK(%rdx)
        jne     .Lexit_now
        movl    $IN_HOOK_INSIDE, TS_IN_HOOK(%rdx)
        movq    $__NR_exit, F_RAX(%rdx)
        mov     %rbx, F_RBX(%rdx)
        mov     %rsi, F_RSI(%rdx)
        mov     %r10, F_R10(%rdx)
        mov     %rdi, F_RDI(%rdx)
        mov     %rbp, F_RBP(%rdx)
        mov     %r12, F_R12(%rdx)
        mov     %r13, F_R13(%rdx)
        mov     %r14, F_R14(%rdx)
        mov     %r15, F_R15(%rdx)
        mov     %r8, F_RIP(%rdx)
        mov     %r9, F_RESTART(%rdx)
        mov     %rsp, F_RSP(%rdx)
        jmp     .Ldispatch
        .cfi_endproc

        // Several states have this %fs base. The thread id decides.
        .type mino_twins, @function
mino_twins:
        .cfi_startproc
        .cfi_def_cfa rsp, 152
        .cfi_offset rip, -136
.Ltwins:
        push    %rax
        .cfi_def_cfa_offset 160
        mov     $__NR_gettid, %eax
        syscall
.Lnext_twin:
        cmp     TS_TID(%rdx), %eax
        je      .Ltwin_found
        mov     TS_TWIN(%rdx), %rdx
        test    %rdx, %rdx
        jne     .Lnext_twin
        pop     %rax
        .cfi_def_cfa_offset 152
        jmp     .Lnested                // an unknown thread: stay on the host
.Ltwin_found:
        pop     %rax
        jmp     .Lthread
        .cfi_endproc

        // The number is not in the table, or there is no thread state: an ordinary system call on
        // the program's stack.
        .type mino_local, @function
mino_local:
        .cfi_startproc
        .cfi_def_cfa rsp, 152
        .cfi_offset rip, -136
.Lnested:
        pop     %rdx
        .cfi_def_cfa_offset 144
        .globl mino_local_syscall
        .hidden mino_local_syscall
.Llocal:
        push    %rax                    // for the signal handler, if the call is to go on
        .cfi_def_cfa_offset 152
mino_local_syscall:
        syscall
        lea     8(%rsp), %rsp
        .cfi_def_cfa_offset 144
        pop     %r11
        .cfi_def_cfa_offset 136
        pop     %rcx
        .cfi_def_cfa_offset 128
        .cfi_register rip, rcx
        lea     128(%rsp), %rsp
        .cfi_def_cfa_offset 0
        jmp     *%rcx
        .cfi_endproc

        // A thread whose start the hook did not see: make its state (on its own stack, this once)
        // and search again.
        .type mino_unknown, @function
mino_unknown:
        .cfi_startproc
        .cfi_def_cfa rsp, 152
        .cfi_offset rip, -136
.Lunknown:
        push    %rax
        push    %rsi
        push    %rdi
        push    %r8
        push    %r9
        push    %r10
        push    %rbp
        mov     %rsp, %rbp
        and     $-16, %rsp
        cld
        call    mino_thread_new
        mov     %rbp, %rsp
        pop     %rbp
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rdi
        pop     %rsi
        test    %rax, %rax
        pop     %rax
        je      .Lnested                // no memory for a state: stay on the host
        jmp     .Llookup
        .cfi_endproc

        // Leaving: every register is loaded before in_hook is cleared. From that store on a signal
        // handler may run, call the hook, and reuse this thread's frame.
        .type mino_exit, @function
mino_exit:
        .cfi_startproc
        .cfi_undefined rip
.Lexit_handled:
        mov     F_RAX(%r11), %rax
        mov     F_RIP(%r11), %rcx
        load_frame
        .cfi_def_cfa rsp, 0
        .cfi_register rip, rcx
        movl    $IN_HOOK_OUTSIDE, TS_IN_HOOK(%r11)
        cmpl    $0, TS_DEFERRED(%r11)
        jne     .Lwindow
        jmp     *%rcx

.Lexit_local:
        .cfi_undefined rip
        mov     F_RAX(%r11), %rax
        load_frame
        cmp     $__NR_exit, %rax
        je      .Lexit_last
        lea     -128(%rsp), %rsp
        pushq   F_RIP(%r11)
        pushq   F_RESTART(%r11)
        .cfi_def_cfa rsp, 144
        .cfi_offset rip, -136
        movl    $IN_HOOK_OUTSIDE, TS_IN_HOOK(%r11)
        cmpl    $0, TS_DEFERRED(%r11)
        je      .Llocal
        // A signal came before the call began: deliver it, then restart the call.
        lea     144(%rsp), %rsp
.Lstart_over:
        .cfi_undefined rip
        mov     F_RIP(%r11), %rcx
        sub     F_RESTART(%r11), %rcx
        mov     %rcx, F_RIP(%r11)

        // The signal window: on the program's stack, unblock what was deferred (mino_open_window
        // has blocked every signal). The kernel delivers it at mino_window_end. The signal handler
        // sees that address and puts the frame's registers into the ucontext, so that the program's
        // handler finds, and returns to, the program's own context.
.Lwindow:
        mov     %r11, %rbx
        mov     TS_STACK(%rbx), %rsp
        mov     %rbx, %rdi
        xor     %ebp, %ebp
        cld
        call    mino_open_window
        mov     F_RSP(%rbx), %rsp
        movl    $IN_HOOK_WINDOW, TS_IN_HOOK(%rbx)
        movl    $0, TS_DEFERRED(%rbx)
.Lopen_mask:
        mov     $2, %edi                // SIG_SETMASK
        lea     TS_WINDOW_MASK(%rbx), %rsi
        xor     %edx, %edx
        mov     $8, %r10d
        mov     $__NR_rt_sigprocmask, %eax
        .globl mino_window_begin, mino_window_end
        .hidden mino_window_begin, mino_window_end
mino_window_begin:
        syscall
mino_window_end:
        // Nothing was delivered under this mask: continue with the program's own, if that differs.
        mov     TS_RESUME_MASK(%rbx), %rax
        mov     %rbx, %r11
        cmp     TS_WINDOW_MASK(%rbx), %rax
        je      .Lexit_handled
        mov     %rax, TS_WINDOW_MASK(%rbx)
        jmp     .Lopen_mask

        // From this exchange on the state is free for reuse, unless a signal is deferred. The
        // exchange changes both words at once, and nothing reads the state afterwards.
.Lexit_last:
        mov     F_RIP(%r11), %r8
        mov     $1, %eax                // inside the hook, nothing deferred
        xor     %ecx, %ecx
        lock cmpxchg %rcx, TS_IN_HOOK(%r11)
        jne     .Lstart_over
        mov     $__NR_exit, %eax
        syscall
        jmp     *%r8                    // a seccomp filter refused
        .globl mino_exit_end
        .hidden mino_exit_end
mino_exit_end:
        .cfi_endproc

// void mino_call_32(u64 registers[7]): int $0x80 with %eax, %ebx, %ecx, %edx, %esi, %edi, %ebp from
// the array. %rax is stored back. Bad memory results in EFAULT from the kernel.
        .globl mino_call_32
        .hidden mino_call_32
        .type mino_call_32, @function
mino_call_32:
        push    %rbx
        push    %rbp
        mov     %rdi, %r8
        mov     (%r8), %rax
        mov     8(%r8), %rbx
        mov     16(%r8), %rcx
        mov     24(%r8), %rdx
        mov     32(%r8), %rsi
        mov     40(%r8), %rdi
        mov     48(%r8), %rbp
        push    %r8
        int     $0x80
        pop     %r8
        mov     %rax, (%r8)
        pop     %rbp
        pop     %rbx
        ret

// The kernel calls mino_signal(sig, info, uc). mino_on_signal returns the handler to run, or 0. The
// program's handler is entered by a jump, with the stack exactly as the kernel made it, so that
// unwinders, and handlers that inspect their frame, see what they would see without the hook.
        .globl mino_signal
        .hidden mino_signal
        .type mino_signal, @function
mino_signal:
        push    %rdi
        push    %rsi
        push    %rdx
        cld
        sub     $16, %rsp               // keeps the call 16-byte aligned (entry is 8 mod 16)
        mov     %rsp, %rcx
        and     $-16, %rsp
        push    %rcx
        push    %rcx
        call    mino_on_signal
        pop     %rcx
        mov     %rcx, %rsp
        add     $16, %rsp
        pop     %rdx
        pop     %rsi
        pop     %rdi
        test    %rax, %rax
        je      .Lno_handler
        mov     %rax, %rcx
        xor     %eax, %eax
        jmp     *%rcx
.Lno_handler:
        ret                             // into mino_restore_rt, whose address the kernel pushed

// libgcc and gdb recognise these bytes. The return address of every handler points here.
        .balign 16
        nop
        .globl mino_restore_rt
        .hidden mino_restore_rt
        .type mino_restore_rt, @function
mino_restore_rt:
        mov     $__NR_rt_sigreturn, %rax
        syscall

// long mino_clone_vm(nr, a0, a1, a2, a3, a4): clone or clone3 into a child that shares our memory.
// The parent stays on the hook's stack. The child starts on the stack that the kernel was given,
// where [sp - 136] holds its ThreadState; the frame in it has the registers that the child
// continues with.
        .globl mino_clone_vm
        .hidden mino_clone_vm
        .type mino_clone_vm, @function
mino_clone_vm:
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        mov     %r9, %r8
        syscall
        test    %rax, %rax
        je      .Lchild
        ret
.Lchild:
        mov     -136(%rsp), %rbx
        mov     %rsp, F_RSP(%rbx)
        mov     TS_STACK(%rbx), %rsp
        mov     %rbx, %rdi
        xor     %ebp, %ebp
        call    mino_child_start
        mov     %rbx, %r11
        jmp     .Lexit_handled

        .section .note.GNU-stack, "", @progbits
