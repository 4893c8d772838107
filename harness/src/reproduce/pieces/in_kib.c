static const char *in_kib(long count)
{
	static char text[32];

	sprintf(text, "%ld KiB", count);
	return text;
}
