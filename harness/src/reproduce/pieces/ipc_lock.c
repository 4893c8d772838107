/*
 * What needs CAP_IPC_LOCK is done by a thread that has it. Credentials that
 * change are others than those that opened the device, and it would not take
 * work requests any more.
 */
static const char *(*asked_for)(void);
static const char *answer;
static sem_t asked, answered_one;
static int holds_ipc_lock;

static void *be_privileged(void *unused)
{
	for (;;) {
		while (sem_wait(&asked))
			;
		answer = asked_for();
		sem_post(&answered_one);
	}
	return unused;
}

/* Starts the thread, with what this process has now, on a stack that is there. */
static void start_privileged(void)
{
	size_t length = 1 << 17;
	char *stack = mmap(NULL, length, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;

	mallopt(M_ARENA_MAX, 1);
	if (stack == MAP_FAILED || sem_init(&asked, 0, 0) ||
	    sem_init(&answered_one, 0, 0) || pthread_attr_init(&attributes) ||
	    pthread_attr_setstack(&attributes, stack, length) ||
	    pthread_create(&thread, &attributes, be_privileged, NULL))
		cannot_tell("cannot start a thread");
}

static const char *hold_ipc_lock(int held)
{
	holds_ipc_lock = held;
	return "ok";
}
