static struct ibv_context *context;
static struct ibv_pd *pd;

/* Opens the device called `name`, or the first one that is called rxe-something. */
static void open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	const char *wanted = name ? name : "rxe";
	size_t length = name ? strlen(name) + 1 : 3;

	while (list && *list &&
	       strncmp(ibv_get_device_name(*list), wanted, length))
		list++;
	if (!list || !*list)
		cannot_tell("no RDMA device: see the set-up above");
	context = ibv_open_device(*list);
	pd = context ? ibv_alloc_pd(context) : NULL;
	if (!pd)
		cannot_tell("the RDMA device cannot be opened");
}
