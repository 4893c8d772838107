enum verdict { RIGHT = 0, WRONG = 1, CANNOT_TELL = 4 };

static int number; /* of the last test that was printed */

/* Ends this process. Unless it is right, what comes later is not looked at. */
static void finish(enum verdict verdict)
{
	while (verdict != RIGHT && number < TESTS)
		dprintf(1, "ok %d # SKIP\n", ++number);
	exit(verdict);
}
