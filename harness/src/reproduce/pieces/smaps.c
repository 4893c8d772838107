enum where { INSIDE, OUTSIDE };

/*
 * The sum of a line of /proc/self/smaps, in KiB, over the mappings inside or
 * outside of the memory that is used here: of all, or of those whose flags or
 * name hold `with`.
 */
static long smaps(enum where where, const char *line, const char *with)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char text[512];
	unsigned long start, end;
	long sum = 0, value = 0, is_here = 0, is_wanted = 0;

	while (file && fgets(text, sizeof(text), file)) {
		if (sscanf(text, "%lx-%lx ", &start, &end) == 2) {
			is_here = (start >= (unsigned long)PAGE(0) &&
				   end <= (unsigned long)PAGE(64)) ==
				  (where == INSIDE);
			is_wanted = strstr(text, with) != NULL;
		} else if (!strncmp(text, line, strlen(line))) {
			value = atol(text + strlen(line));
		} else if (!strncmp(text, "VmFlags:", 8) && is_here) {
			if (is_wanted || strstr(text, with))
				sum += value;
		}
	}
	if (file)
		fclose(file);
	return sum;
}
