/* What became more, as text. Some of it is freed late: populating ends with what waits on a list of the processor. */
static const char *left(long (*count)(void), long before)
{
	char here;
	int tries;

	for (tries = 0; tries < 100 && count() != before; tries++) {
		madvise(&here - (unsigned long)&here % 4096, 4096, 22 /* MADV_POPULATE_READ */);
		usleep(10000);
	}
	return in_pages(count() - before);
}
