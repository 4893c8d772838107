/*
 * Prints one test, from the process whose turn it is. Where the two differ it
 * was the last, and gives `if_not`.
 */
static void check(enum verdict if_not, const char *what, const char *got,
		  const char *want)
{
	if (me != current) /* forked just now */
		return;
	if (!strcmp(got, want)) {
		dprintf(1, "ok %d %s\n", ++number, what);
		return;
	}
	dprintf(1, "not ok %d %s\n", ++number, what);
	dprintf(1, "# expected: %s\n# got:      %s\n", want, got);
	finish(if_not);
}
