/* Appends some bytes to a scatter/gather list. */
static struct list with(struct list list, const char *start, uint32_t length,
			uint32_t lkey)
{
	list.sge[list.count].addr = (uintptr_t)start;
	list.sge[list.count].length = length;
	list.sge[list.count].lkey = lkey;
	list.count++;
	return list;
}
