static long full_scans(void)
{
	FILE *file = fopen(KSM "full_scans", "r");
	long count = 0;

	if (!file || fscanf(file, "%ld", &count) != 1)
		cannot_tell("a kernel without KSM");
	fclose(file);
	return count;
}

/* Merges all that can be merged, and stops. */
static const char *ksm_merge(void)
{
	long before = full_scans();
	int tries;

	if (put(KSM "sleep_millisecs", "0") ||
	    put(KSM "pages_to_scan", "100000") || put(KSM "run", "1"))
		return "KSM does not run";
	for (tries = 0; tries < 3000 && full_scans() < before + 4; tries++)
		usleep(10000);
	return put(KSM "run", "0") ? "KSM does not stop" : "ok";
}
