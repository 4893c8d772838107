#define OWN_GROUP "/sys/fs/cgroup/reclaim"

/* Only what is in a cgroup can be reclaimed by hand. */
static void enter_own_group(void)
{
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(OWN_GROUP, 0755);
	if (put(OWN_GROUP "/cgroup.procs", "0"))
		cannot_tell("no memory cgroup: mount cgroup2 at /sys/fs/cgroup");
}

/* Reclaims what can be reclaimed of this program. */
static const char *reclaim(void)
{
	/* Less than so much is what is expected. */
	if (put(OWN_GROUP "/memory.reclaim", "1G") && errno != EAGAIN)
		return strerror(errno);
	return "ok";
}
