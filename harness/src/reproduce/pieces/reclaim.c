/*
 * Reclaims what can be reclaimed of this program, and swaps nothing out for that:
 * which pages would go is the kernel's choice.
 */
static const char *reclaim(void)
{
	const char *result = "ok";

	put(OWN_GROUP "/memory.swap.max", "0");
	/* Less than so much is what is expected. */
	if (put(OWN_GROUP "/memory.reclaim", "1G") && errno != EAGAIN)
		result = strerror(errno);
	if (may_swap)
		put(OWN_GROUP "/memory.swap.max", "max");
	return result;
}
