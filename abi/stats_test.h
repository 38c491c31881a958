/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What abi/stats_test.c defines. */
#ifndef MINO_ABI_STATS_TEST_H
#define MINO_ABI_STATS_TEST_H

#ifdef __cplusplus
extern "C" {
#endif

/* Each field of the row with a value of its own, as the driver would write it. */
void mino_stats_write_in_c(void *row);
unsigned long mino_stats_bytes_in_c(void);

#ifdef __cplusplus
}
#endif

#endif
