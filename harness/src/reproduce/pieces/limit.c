static rlim_t memlock = RLIM_INFINITY; /* what was asked for */

static int set_memlock(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	return setrlimit(RLIMIT_MEMLOCK, &limit);
}

static const char *limit_memlock(rlim_t bytes)
{
	memlock = bytes;
	return outcome(set_memlock(bytes) ? errno : 0);
}
