/* Anonymous pages, on the whole machine: let it be idle otherwise. */
static long anon_pages(void)
{
	return vmstat("nr_anon_pages ");
}
