/* The pages that are present in this process, and the frame of each. */
static const char *frames(void)
{
	static char text[64 * 32];
	int page, end = 0;

	strcpy(text, "none");
	for (page = 0; page < 64; page++) {
		uint64_t entry = pagemap(page);

		if (entry & PRESENT)
			end += sprintf(text + end, "%s%d: frame %d %s %s",
				       end ? ", " : "", page, frame_number(entry),
				       entry & FILE_OR_SHARED ? "file" : "anon",
				       entry & MAPPED_ONCE ? "once" : "shared");
	}
	return text;
}
