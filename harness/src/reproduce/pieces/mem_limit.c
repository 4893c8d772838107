#define GROUP "/sys/fs/cgroup/reg-limit"

static int is_limited; /* whether registrations are done inside the group */

/* A memory cgroup in which this process registers and does nothing else. */
static void make_group(void)
{
	mkdir(GROUP, 0755);
	if (put(GROUP "/memory.max", "max"))
		cannot_tell("no memory cgroup: mount cgroup2 at /sys/fs/cgroup");
	/* Without swap there is no such file. */
	put(GROUP "/memory.swap.max", "0");
	/* What cannot be charged is refused, and nobody is killed. */
	put("/proc/self/oom_score_adj", "-1000");
}

static void look_at(const char *path)
{
	FILE *file = fopen(path, "r");

	if (!file || fgetc(file) == EOF)
		cannot_tell("a cgroup lacks its counters");
	fclose(file);
}

/*
 * Has the kernel add up memory.stat. Up to 6.12 a read of the times of a group
 * adds up all its counters. Newer kernels add up a group only after enough
 * changes below it, so this makes them beside the group, and reads the group
 * above both.
 */
static void add_up(void)
{
	static const char page[4096];
	long left = 32 * (sysconf(_SC_NPROCESSORS_ONLN) + 1);
	int fd = memfd_create("changes", 0);

	for (; left; left--)
		if (write(fd, page, 4096) != 4096)
			cannot_tell("no memory file");
	close(fd);
	look_at("/sys/fs/cgroup/memory.stat");
	look_at(GROUP "/cpu.stat");
}

/* Pages that are charged to the group. */
static long charged(void)
{
	long anon = 0, cache = 0;
	FILE *file;

	add_up();
	file = fopen(GROUP "/memory.stat", "r");
	if (!file || fscanf(file, "anon %ld file %ld", &anon, &cache) != 2)
		cannot_tell("memory.stat is of another form");
	fclose(file);
	return is_limited ? (anon + cache) / 4096 : 0;
}

/* Allows `pages` more, or any number if that is negative. */
static const char *limit_memory(long pages)
{
	char text[32] = "max";

	is_limited = 1;
	if (pages >= 0)
		sprintf(text, "%ld", (charged() + pages) * 4096);
	return put(GROUP "/memory.max", text) ? strerror(errno) : "ok";
}

static int enter_group(void)
{
	if (is_limited && put(GROUP "/cgroup.procs", "0"))
		cannot_tell("the cgroup cannot be entered");
	return 1;
}

static const char *leave_group(const char *result)
{
	if (is_limited && put(OWN_GROUP "/cgroup.procs", "0"))
		cannot_tell("the cgroup cannot be left");
	return result;
}
