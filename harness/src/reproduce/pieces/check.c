enum verdict { RIGHT = 0, WRONG = 1, CANNOT_TELL = 4 };

static int number; /* of the last test that was printed */

/* Ends the program. What comes later is not looked at any more. */
static void finish(enum verdict verdict)
{
	while (number < TESTS)
		dprintf(1, "ok %d # SKIP\n", ++number);
	exit(verdict);
}
