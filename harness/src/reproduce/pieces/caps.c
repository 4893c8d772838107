/* Whether CAP_IPC_LOCK is effective for this thread. It stays permitted. */
static int set_ipc_lock(int held)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	if (held)
		data[0].effective |= 1u << CAP_IPC_LOCK;
	return syscall(SYS_capset, &header, data);
}

/* The process that opens the device must not be above the limit. */
static void drop_ipc_lock(void)
{
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &none) || set_ipc_lock(0))
		cannot_tell("must be root");
}
