static rlim_t own_bytes; /* what the program has registered for itself */

/*
 * The kernel counts against the limit all that the process has registered, the
 * landing buffer too: for a registration the limit is higher by as much.
 */
static int allow_own(void)
{
	if (memlock && memlock < RLIM_INFINITY - own_bytes &&
	    set_memlock(memlock + own_bytes))
		cannot_tell("RLIMIT_MEMLOCK cannot be set");
	return 1;
}

static const char *count_own(const char *result)
{
	if (set_memlock(memlock))
		cannot_tell("RLIMIT_MEMLOCK cannot be set");
	return result;
}
