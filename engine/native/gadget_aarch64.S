// SPDX-License-Identifier: Apache-2.0
//
// int64_t mino_gadget(uint64_t nr, const uint64_t args[6]); see gadget_x86_64.S. The kernel steps
// pc back onto `svc` when it restarts a call (arch/arm64/kernel/signal.c).
#if defined(__aarch64__)
	.text
	.globl	mino_gadget, mino_gadget_syscall, mino_gadget_undone
	.hidden	mino_gadget_syscall, mino_gadget_undone
	.type	mino_gadget, %function
mino_gadget:
	.cfi_startproc
	mov	x8, x0
	mov	x9, x1
	ldp	x0, x1, [x9]
	ldp	x2, x3, [x9, #16]
	ldp	x4, x5, [x9, #32]
mino_gadget_syscall:
	svc	#0
	ret
mino_gadget_undone:
	mov	x0, #1
	movk	x0, #0x8000, lsl #48	// kUndone
	ret
	.cfi_endproc
	.size	mino_gadget, . - mino_gadget

	.globl	mino_signal_return
	.hidden	mino_signal_return
	.type	mino_signal_return, %function
	nop
mino_signal_return:
	mov	x8, #139	// rt_sigreturn
	svc	#0
	.size	mino_signal_return, . - mino_signal_return
#endif
	.section .note.GNU-stack,"",%progbits
