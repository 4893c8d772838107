static struct ibv_pd *pd1; /* another protection domain */

static void second_pd(void)
{
	pd1 = ibv_alloc_pd(context);
	if (!pd1)
		cannot_tell("no second protection domain");
}
