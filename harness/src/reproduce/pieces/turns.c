/* Hands the turn to process `n`, and is true there. */
static int turn(int n)
{
	char c;

	if (n != current && me == current && write(baton[n][1], "", 1) != 1)
		_exit(CANNOT_TELL);
	if (n != current && me == n && read(baton[n][0], &c, 1) != 1)
		_exit(CANNOT_TELL);
	current = n;
	if (me == 0 && shared->verdict)
		finish(shared->verdict);
	return me == n;
}

/* A process that is killed would leave the others waiting for ever. */
static void on_alarm(int signal)
{
	(void)signal;
	finish(CANNOT_TELL);
}

static void prepare_turns(void)
{
	int n;

	for (n = 0; n < 4; n++)
		if (pipe(baton[n]))
			cannot_tell("cannot make a pipe");
	shared->pid[0] = getpid();
	signal(SIGCHLD, SIG_IGN); /* no zombies */
	signal(SIGALRM, on_alarm);
	alarm(60);
}

/* Forks process `n`, which goes on from here, too. */
static const char *spawn(int n)
{
	pid_t pid = fork();

	if (pid < 0)
		return strerror(errno);
	if (pid == 0) {
		me = n;
		/* in the child */
	} else {
		shared->pid[n] = pid;
	}
	return "ok";
}
