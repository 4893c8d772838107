static long own_pin, own_anon, own_shmem; /* what the program itself has */

static void touch(volatile char *from, volatile char *end)
{
	for (; from < end; from++)
		*from = *from;
}

/* Brings in all memory that the libraries will take. */
static void touch_heap(void)
{
	char *heap;

	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	heap = malloc(1 << 18);
	if (heap)
		touch(heap, heap + (1 << 18));
	free(heap);
}

/* Looks at what the program itself has. */
static void settle(void)
{
	extern char __data_start[], _end[];
	char stack[32768];

	touch(stack, stack + sizeof(stack));
	touch(__data_start, _end);
	dprintf(1, "%s", "");
	own_pin = status_line("VmPin:");
	own_anon = status_line("RssAnon:");
	own_shmem = status_line("RssShmem:");
}
