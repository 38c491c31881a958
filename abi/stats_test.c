// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* abi/stats.h as a C compiler reads it, for abi/stats_test.cc. */
#include "abi/stats_test.h"

#include <string.h>

#include "abi/stats.h"

void mino_stats_write_in_c(void *to)
{
	struct mino_stats_row *row = to;

	row->proxy_pid = -1;
	row->client_pid = 2;
	row->session_id = 3;
	row->calls = 4;
	row->round_trips = 5;
	row->upcalls = 6;
	row->bytes_in = 7;
	row->bytes_out = 8;
	row->lanes = 9;
	memcpy(row->name, "fifteen letters", sizeof(row->name));
	row->instance = 10;
	row->uid = 11;
}

unsigned long mino_stats_bytes_in_c(void)
{
	return sizeof(struct mino_stats_row);
}
