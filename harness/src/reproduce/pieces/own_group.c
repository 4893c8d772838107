#define OWN_GROUP "/sys/fs/cgroup/reg-own"

/* A memory cgroup for this process, of which nothing is swapped out. */
static void enter_own_group(void)
{
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(OWN_GROUP, 0755);
	if (put(OWN_GROUP "/cgroup.procs", "0"))
		cannot_tell("no memory cgroup: mount cgroup2 at /sys/fs/cgroup");
	/* Without swap there is no such file. */
	put(OWN_GROUP "/memory.swap.max", "0");
}
