// SPDX-License-Identifier: Apache-2.0
//
// int64_t mino_gadget(uint64_t nr, const uint64_t args[6])
//
// When a signal interrupts a call that the kernel wants to restart, the kernel steps the saved rip
// back onto the `syscall` instruction and puts the number back into rax (arch/x86/kernel/signal.c).
// The handler tells this apart from a signal that came before the instruction by rcx: zero before,
// the return address after the kernel was entered.
#if defined(__x86_64__)
	.text
	.globl	mino_gadget, mino_gadget_syscall, mino_gadget_undone
	.hidden	mino_gadget_syscall, mino_gadget_undone
	.type	mino_gadget, @function
mino_gadget:
	.cfi_startproc
	movq	%rdi, %rax
	movq	%rsi, %rcx
	movq	0(%rcx), %rdi
	movq	8(%rcx), %rsi
	movq	16(%rcx), %rdx
	movq	24(%rcx), %r10
	movq	32(%rcx), %r8
	movq	40(%rcx), %r9
	xorl	%ecx, %ecx
mino_gadget_syscall:
	syscall
	ret
mino_gadget_undone:
	movabsq	$0x8000000000000001, %rax	# kUndone
	ret
	.cfi_endproc
	.size	mino_gadget, . - mino_gadget

	.globl	mino_signal_return
	.hidden	mino_signal_return
	.type	mino_signal_return, @function
	nop
mino_signal_return:
	movl	$15, %eax	# rt_sigreturn
	syscall
	.size	mino_signal_return, . - mino_signal_return
#endif
	.section .note.GNU-stack,"",@progbits
