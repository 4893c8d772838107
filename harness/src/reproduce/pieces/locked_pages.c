static long locked_pages(void)
{
	return vmstat("nr_mlock ");
}
