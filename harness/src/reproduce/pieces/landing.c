#define LANDING_BYTES (64 * 4096)

static char *landing; /* where RDMA reads end and RDMA writes begin */
static struct ibv_mr *landing_mr;

static void make_landing(void)
{
	landing = mmap(NULL, LANDING_BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (landing == MAP_FAILED)
		cannot_tell("no memory");
	landing_mr = ibv_reg_mr(pd, landing, LANDING_BYTES,
				IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (!landing_mr)
		cannot_tell("no memory can be registered: see ulimit -l");
}
