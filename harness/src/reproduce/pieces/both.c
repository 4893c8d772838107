/* What sender and receiver are told, as text: several of them stand in one check. */
static const char *both(const char *requester, const char *responder)
{
	static char texts[16][128];
	static int count;
	char *text = texts[count++ % 16];

	snprintf(text, sizeof(texts[0]), "%s and %s", requester, responder);
	return text;
}
