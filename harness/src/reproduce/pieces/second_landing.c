static struct ibv_mr *landing_mr1; /* the same buffer, for the other domain */

static void second_landing(void)
{
	landing_mr1 = ibv_reg_mr(pd1, landing, LANDING_BYTES,
				 IBV_ACCESS_LOCAL_WRITE |
				 IBV_ACCESS_REMOTE_WRITE);
	if (!landing_mr1)
		cannot_tell("no memory can be registered: see ulimit -l");
}
