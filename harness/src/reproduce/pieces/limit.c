/* The process that opens the device must not be above the limit. */
static void drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &none) ||
	    syscall(SYS_capget, &header, data))
		cannot_tell("must be root");
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	data[0].permitted &= ~(1u << CAP_IPC_LOCK);
	if (syscall(SYS_capset, &header, data))
		cannot_tell("CAP_IPC_LOCK cannot be dropped");
}

static const char *limit_memlock(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	return outcome(setrlimit(RLIMIT_MEMLOCK, &limit) ? errno : 0);
}
