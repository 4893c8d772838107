static const char *limit_memlock(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	return outcome(setrlimit(RLIMIT_MEMLOCK, &limit) ? errno : 0);
}
