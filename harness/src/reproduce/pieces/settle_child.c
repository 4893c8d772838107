/* A new process has our anonymous pages, but none of shared mappings and no pins. */
static void settle_child(void)
{
	int page;

	own_pin = 0;
	shared->pid[me] = getpid(); /* touches the shared page */
	own_shmem = status_line("RssShmem:");
	for (page = 0; page < 64; page++)
		own_shmem -= (pagemap(page) & (PRESENT | FILE_OR_SHARED)) ==
			     (PRESENT | FILE_OR_SHARED);
}
