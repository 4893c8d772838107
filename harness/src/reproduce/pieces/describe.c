/* Bytes as text: "0x22", or "0x22*8 0x00*4088" where they differ. */
static const char *describe(const char *from, size_t length)
{
	static char text[TEXT_BYTES];
	const volatile unsigned char *at = (const volatile unsigned char *)from;
	size_t end = 0, run = 0;
	unsigned char value = 0;

	strcpy(text, "empty");
	for (done = 0; done < length; done++, run++) {
		unsigned char next = at[done];

		if (done == 0 || next != value) {
			if (run)
				end += snprintf(text + end, 24, "*%zu ", run);
			if (end > sizeof(text) - 48)
				return "too many pieces";
			end += snprintf(text + end, 24, "0x%02x", next);
			value = next;
			run = 0;
		}
	}
	if (run < length)
		snprintf(text + end, 24, "*%zu", run);
	return text;
}
