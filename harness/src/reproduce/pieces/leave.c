/* Ends process `n`. Process 0 waits until its memory is gone. */
static void leave(int n)
{
	char c;

	if (turn(n)) {
		if (write(baton[0][1], "", 1) != 1)
			_exit(CANNOT_TELL);
		_exit(RIGHT);
	}
	if (me == 0) {
		if (read(baton[0][0], &c, 1) != 1)
			_exit(CANNOT_TELL);
		while (!kill(shared->pid[n], 0))
			sched_yield();
		shared->pid[n] = 0;
	}
	current = 0;
}
