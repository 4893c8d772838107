/* Does one step, by the other thread if the capability is held. */
static const char *with_rights(const char *(*step)(void))
{
	if (!holds_ipc_lock)
		return step();
	asked_for = step;
	sem_post(&asked);
	while (sem_wait(&answered_one))
		;
	return answer;
}
