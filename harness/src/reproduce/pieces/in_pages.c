static const char *in_pages(long count)
{
	static char text[32];

	sprintf(text, "%ld pages", count);
	return text;
}
