/* Pages of memory files, on the whole machine: let it be idle otherwise. */
static long shmem_pages(void)
{
	return vmstat("nr_shmem ");
}
