static const char *as_text(uint32_t value)
{
	static char text[16];

	snprintf(text, sizeof(text), "%u", value);
	return text;
}
