/* Pages that are pinned, on the whole machine. */
static long pins(void)
{
	return vmstat("nr_foll_pin_acquired ") - vmstat("nr_foll_pin_released ");
}
