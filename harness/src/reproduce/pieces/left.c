/* What became more, as text. Some of it is freed late. */
static const char *left(long (*count)(void), long before)
{
	int tries;

	for (tries = 0; tries < 100 && count() != before; tries++)
		usleep(10000);
	return in_pages(count() - before);
}
