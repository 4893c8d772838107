// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notes which blocks of a few objects ran. `pinfold patch` puts this file into lib/ of a kernel whose changed files are
 * compiled with -fsanitize-coverage=trace-pc, and the executor reads the table as it reads that of the variant +kcov: an
 * edge has no block before it here.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/init.h>
#include <linux/instruction_pointer.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <asm/sections.h>
#include <uapi/linux/kcov.h>

#define PROBES 64

/* Slot 0 counts the blocks that found no slot. */
static u64 *blocks;
static unsigned int block_bits;

void __sanitizer_cov_trace_pc(void);

void notrace __sanitizer_cov_trace_pc(void)
{
	u64 *table = READ_ONCE(blocks);
	unsigned int probes, slot;
	u64 block;

	if (!table)
		return;
	block = (u32)((_RET_IP_ - (unsigned long)_stext) / 4);
	slot = hash_64(block, block_bits);
	for (probes = 0; probes < PROBES; probes++, slot++) {
		u64 *place = &table[slot & ((1U << block_bits) - 1)];

		if (place == table)
			continue;
		if (READ_ONCE(*place) == block)
			return;
		if (!READ_ONCE(*place) && !cmpxchg(place, 0, block))
			return;
	}
	table[0]++;
}

static int ran_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!blocks)
		return -EINVAL;
	return remap_vmalloc_range(vma, blocks, 0);
}

static long ran_ioctl(struct file *file, unsigned int request, unsigned long slots)
{
	u64 *table;

	switch (request) {
	case KCOV_INIT_TRACE:
		if (blocks)
			return -EBUSY;
		if (!is_power_of_2(slots))
			return -EINVAL;
		table = vmalloc_user(slots * sizeof(*table));
		if (!table)
			return -ENOMEM;
		block_bits = ilog2(slots);
		WRITE_ONCE(blocks, table);
		return 0;
	case KCOV_ENABLE:
		return 0;
	}
	return -ENOTTY;
}

static const struct file_operations ran_fops = {
	.mmap = ran_mmap,
	.unlocked_ioctl = ran_ioctl,
};

static int __init ran_init(void)
{
	debugfs_create_file_unsafe("kcov", 0600, NULL, NULL, &ran_fops);
	return 0;
}
device_initcall(ran_init);
