/* An RDMA operation between a list and remote memory. */
static const char *list_transfer(struct pair *pair, enum ibv_wr_opcode opcode,
				 struct list list, const char *remote,
				 uint32_t rkey)
{
	struct ibv_send_wr wr = {
		.sg_list = list.sge,
		.num_sge = list.count,
		.opcode = opcode,
		.wr.rdma = { (uintptr_t)remote, rkey },
	};
	const char *error = request(pair, pair->requester, &wr);

	return error ? error : "ok";
}
