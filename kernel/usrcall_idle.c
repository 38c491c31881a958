// SPDX-License-Identifier: GPL-2.0-only
/*
 * The idle task, which waits for all clients at once. It is called in place of
 * UML's own idle loop (patch 0011), with interrupts off. It must never sleep in
 * this kernel, only in the host kernel.
 *
 * It polls the lanes' rings for a while. Before it gives up its processor on
 * the host, it says so in each session's device_sleeping. A client then rings
 * the session's doorbell, a futex. The idle task sleeps on these futexes
 * together with the word in which signals from the host are noted.
 */
#include <linux/sched.h>
#include <linux/usrcall.h>
#include <os.h>
#include "usrcall_lane.h"

static const struct mino_patience *const patience = &mino_patience_kernel;

static u32 idle_average = mino_patience_kernel.at_first, idle_impatient;

static void learn(u64 took)
{
	idle_average = mino_patience_learn(patience, idle_average, took);
}

static void say_sleeping(u32 value)
{
	struct usrcall_session *session;

	list_for_each_entry(session, &usrcall_sessions, list)
		shared_store(session->memory->device_sleeping, value);
}

/* Runs with interrupts off, as arch_cpu_idle() does: signals are only noted. */
void usrcall_idle(void)
{
	u32 *words[OS_IDLE_WORDS], values[OS_IDLE_WORDS];
	struct usrcall_session *session;
	u64 start = mino_cycles(), budget;
	int n = 0;

	if (!list_empty(&usrcall_lanes)) {
		budget = mino_patience_budget(patience, idle_average, &idle_impatient);
		do {
			if (usrcall_look_at_all() || need_resched() || os_signals_pending()) {
				learn(mino_cycles() - start);
				return;
			}
			mino_pause();
		} while (mino_patience_next(patience, mino_cycles() - start, budget) !=
			 MINO_SLEEP);
	}
	say_sleeping(1);
	list_for_each_entry(session, &usrcall_sessions, list) {
		if (n == OS_IDLE_WORDS)
			break;
		words[n] = &session->memory->doorbell;
		values[n++] = shared_load(session->memory->doorbell);
	}
	/* Pairs with the client's fence between its publication and device_sleeping. */
	shared_full_fence();
	if (!usrcall_look_at_all() && !need_resched())
		os_idle_wait(words, values, n);
	say_sleeping(0);
	usrcall_look_at_all();
	if (n)
		learn(mino_cycles() - start);
}
