/* Gives the machine so many huge pages of 2 MiB and no more, which takes root.
 * None are wanted of a kernel that knows of no huge pages. */
static void fill_huge_pool(void)
{
	FILE *pool = fopen("/proc/sys/vm/nr_hugepages", "r+");
	int count = 0;

	if (!pool && !HUGE_POOL_PAGES)
		return;
	if (!pool || fprintf(pool, "%d\n", HUGE_POOL_PAGES) < 0 || fflush(pool))
		cannot_tell("set /proc/sys/vm/nr_hugepages");
	rewind(pool);
	if (fscanf(pool, "%d", &count) != 1 || count != HUGE_POOL_PAGES)
		cannot_tell("fill the pool of huge pages");
	fclose(pool);
}
