/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How long a thread that waits for the other side of a ring looks at it before
 * it sleeps. Included by the client (hook/), by proxies (channel/) and by the
 * driver (kernel/). Plain C without a library: no state of its own, no system
 * call, no floating point.
 *
 * A wake-up across cores costs 30 to 100 us under a hypervisor; a look at a
 * cache line costs some nanoseconds. Sleeping too early is the most expensive
 * mistake, and spinning for nothing is the second. So the budget of a wait
 * follows the last waits: twice their average and a glance, as long as they
 * were shorter than a wake-up. If they were longer, spinning could not have
 * caught them, and the budget is a glance.
 *
 * Every eighth of those waits is patient, whatever was learnt. Otherwise two
 * sides that have both learnt to sleep would keep each other asleep, because
 * each of them measures the other's wake-up.
 *
 *   waited, in cycles   0 ........ quiet ............. budget ............
 *   mino_patience_next    LOOK_ON     YIELD_AND_LOOK      SLEEP
 *
 * Rejected: a fixed time. It is too short for a busy device, and wasted on an
 * idle one.
 */
#ifndef MINO_ABI_PATIENCE_H
#define MINO_ABI_PATIENCE_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/*
 * What differs from place to place. Cycles are those of mino_cycles(), of
 * which there are 2,000 to 4,000 in a microsecond.
 */
struct mino_patience {
	/*
	 * Looks before the clock is read at all. A wait that ends here has
	 * taken 0 cycles; what reading the clock twice costs is then saved.
	 */
	uint32_t first_looks;
	/* Looks between two glances at everything else that can end a wait. */
	uint32_t looks;
	/* Cycles before anything costlier than a look is done in between. */
	uint32_t quiet;
	/* Cycles of the shortest budget. */
	uint32_t glance;
	/* Cycles of the longest one: the price of a wake-up. */
	uint32_t wake_up;
	/* The average before anything has been learnt. */
	uint32_t at_first;
};

/*
 * A client's thread that waits for a call (hook/device/call.cc). A sleeping
 * device needs a wake-up before it can answer, so the longest budget is twice
 * that of the device's side: about 100 us. The shortest is about 1 us. Each row
 * of the table of calls has an average of its own, which begins at 0, as the
 * memory of a new thread does. In between, the thread yields: that costs little
 * when the core has nothing else to do, and lets a proxy on this core run. A
 * wait for device and host at once (hook/device/mixed_wait.cc) leaves the first
 * looks out, and polls the host in between.
 */
static const struct mino_patience mino_patience_client = {
	.first_looks = 64,
	.looks = 32,
	.quiet = 3000,
	.glance = 3000,
	.wake_up = 300000,
	.at_first = 0,
};

/*
 * A proxy's thread between two calls (channel/device_lane.h): about 2 us at
 * least, 50 us at most, and 27 us at first. In between, it yields, so that a
 * client on this core can run.
 */
static const struct mino_patience mino_patience_proxy = {
	.first_looks = 0,
	.looks = 16,
	.quiet = 6000,
	.glance = 6000,
	.wake_up = 150000,
	.at_first = 37500,
};

/*
 * A lane of the driver between two calls (kernel/usrcall_lane.c), and the idle
 * task of its kernel (kernel/usrcall_idle.c). Like a proxy's thread, but all
 * lanes share one processor: there is no quiet time, and in between, the lane
 * looks at the other lanes' rings and lets their tasks run. It does not yield
 * to the host. A busy client's next call comes within the first looks. The idle
 * task leaves them out, and looks at everything each time.
 */
static const struct mino_patience mino_patience_kernel = {
	.first_looks = 128,
	.looks = 16,
	.quiet = 0,
	.glance = 6000,
	.wake_up = 150000,
	.at_first = 37500,
};

/*
 * A clock that costs a few nanoseconds: the time-stamp counter, or the generic
 * timer's ticks, scaled to about as many. The timer runs at 1 GHz, or else at
 * 24 to 62.5 MHz. Spinning a little too long wastes only a little.
 */
static inline uint64_t mino_cycles(void)
{
#ifdef __x86_64__
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
#else
	uint64_t ticks;

	asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks * 64;
#endif
}

/* Between two looks: leaves the core's other thread more of it. */
static inline void mino_pause(void)
{
#ifdef __x86_64__
	asm volatile("pause" : : : "memory");
#else
	asm volatile("yield" : : : "memory");
#endif
}

/*
 * The budget of a wait, in cycles. `average` is what mino_patience_learn()
 * answered last, or at_first; `impatient` counts waits that were not worth a
 * budget. The caller keeps both, for waits that are alike: those of a lane, or
 * of a row of the table of calls.
 */
static inline uint64_t mino_patience_budget(const struct mino_patience *place,
					    uint32_t average, uint32_t *impatient)
{
	uint64_t budget = place->glance + 2 * (uint64_t)average;

	if (average < place->wake_up)
		return budget < place->wake_up ? budget : place->wake_up;
	return ++*impatient % 8 == 0 ? place->wake_up : place->glance;
}

/*
 * The new average after a wait of `waited` cycles. It falls at once when
 * spinning has paid, and rises over about eight waits. One very long wait
 * counts no more than two wake-ups, which is also the largest average.
 */
static inline uint32_t mino_patience_learn(const struct mino_patience *place,
					   uint32_t average, uint64_t took)
{
	const uint64_t most = 2 * (uint64_t)place->wake_up;

	if (took < average / 2)
		return (uint32_t)((average + took) / 2);
	return (uint32_t)((7 * (uint64_t)average + (took < most ? took : most)) / 8);
}

enum mino_patience_step {
	MINO_LOOK_ON,
	MINO_YIELD_AND_LOOK, /* or whatever the place does in between */
	MINO_SLEEP,
};

/* After `waited` cycles without an answer. */
static inline enum mino_patience_step
mino_patience_next(const struct mino_patience *place, uint64_t waited, uint64_t budget)
{
	if (waited < place->quiet)
		return MINO_LOOK_ON;
	return waited < budget ? MINO_YIELD_AND_LOOK : MINO_SLEEP;
}

#endif
