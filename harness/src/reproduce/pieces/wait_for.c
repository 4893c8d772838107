/* Waits for the process that does the work; ends the program unless it is content. */
static void wait_for(pid_t worker, const char *step)
{
	int tries, status = 0;

	for (tries = 0; waitpid(worker, &status, WNOHANG) == 0; tries++) {
		if (tries == 3000) {
			kill(worker, SIGKILL);
			number = TESTS - 1;
			check(WRONG, step, "it does not end", "it ends");
		}
		usleep(10000);
	}
	if (!WIFEXITED(status))
		exit(CANNOT_TELL);
	if (WEXITSTATUS(status) != RIGHT)
		exit(WEXITSTATUS(status));
}
