/*
 * One atomic operation on 8 bytes; they are described as they were. The calls
 * are the extended ones: ibv_post_send() refuses what is not aligned.
 */
static const char *atomic(struct pair *pair, enum ibv_wr_opcode opcode,
			  const char *to, uint32_t rkey, uint64_t compare_add,
			  uint64_t swap)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(pair->requester);
	const char *error;

	memset(landing, 0xee, 8);
	ibv_wr_start(qp);
	qp->wr_id = 1;
	qp->wr_flags = IBV_SEND_SIGNALED;
	if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
		ibv_wr_atomic_fetch_add(qp, rkey, (uintptr_t)to, compare_add);
	else
		ibv_wr_atomic_cmp_swp(qp, rkey, (uintptr_t)to, compare_add,
				      swap);
	ibv_wr_set_sge(qp, pair->landing->lkey, (uintptr_t)landing, 8);
	error = answered(pair, ibv_wr_complete(qp));
	return error ? error : describe(landing, 8);
}
