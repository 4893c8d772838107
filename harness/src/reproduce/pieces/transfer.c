static struct ibv_cq *cq;
static struct ibv_gid_entry gid;

static void find_gid(void)
{
	int index = 0;

	cq = ibv_create_cq(context, 16, NULL, NULL, 0);
	/* The RoCE v2 entry of an IPv4 address. */
	while (cq && index < 16 &&
	       (ibv_query_gid_ex(context, 1, index, &gid, 0) ||
		gid.gid_type != IBV_GID_TYPE_ROCE_V2 ||
		gid.gid.raw[10] != 0xff || gid.gid.raw[11] != 0xff))
		index++;
	if (!cq || index == 16)
		cannot_tell("the RDMA device has no IPv4 address");
}

static struct ibv_qp *make_qp(void)
{
	struct ibv_qp_init_attr wanted = {
		.send_cq = cq,
		.recv_cq = cq,
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 4, .max_recv_wr = 1,
			 .max_send_sge = 1, .max_recv_sge = 1 },
	};
	struct ibv_qp *qp = ibv_create_qp(pd, &wanted);

	if (!qp)
		cannot_tell("no queue pair");
	return qp;
}

static void connect_qp(struct ibv_qp *qp, uint32_t peer)
{
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE,
	};
	struct ibv_qp_attr receive = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1,
			     .grh = { .dgid = gid.gid, .hop_limit = 1,
				      .sgid_index = gid.gid_index } },
	};
	struct ibv_qp_attr send = {
		.qp_state = IBV_QPS_RTS,
		.timeout = 16,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 1,
	};

	if (ibv_modify_qp(qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			  IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) ||
	    ibv_modify_qp(qp, &receive, IBV_QP_STATE | IBV_QP_AV |
			  IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) ||
	    ibv_modify_qp(qp, &send, IBV_QP_STATE | IBV_QP_TIMEOUT |
			  IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			  IBV_QP_MAX_QP_RD_ATOMIC))
		cannot_tell("the queue pairs cannot be connected");
}

/* One RDMA operation of this process with itself. NULL if it worked. */
static const char *transfer(enum ibv_wr_opcode opcode, const char *local,
			    uint32_t lkey, const char *remote, uint32_t rkey,
			    uint32_t length)
{
	struct ibv_qp *requester = make_qp(), *responder = make_qp();
	struct ibv_sge sge = { (uintptr_t)local, length, lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge,
		.num_sge = length > 0,
		.opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = { (uintptr_t)remote, rkey },
	}, *bad;
	struct ibv_wc wc = { .status = IBV_WC_SUCCESS };
	time_t deadline = time(NULL) + 10;
	int count = 0;

	connect_qp(requester, responder->qp_num);
	connect_qp(responder, requester->qp_num);
	if (ibv_post_send(requester, &wr, &bad))
		cannot_tell("the request is refused");
	while (count == 0 && time(NULL) < deadline) {
		count = ibv_poll_cq(cq, 1, &wc);
		sched_yield();
	}
	ibv_destroy_qp(requester);
	ibv_destroy_qp(responder);
	if (count != 1)
		return "no completion";
	return wc.status ? ibv_wc_status_str(wc.status) : NULL;
}

static void test_loopback(void)
{
	const char *error = transfer(IBV_WR_RDMA_WRITE, landing, landing_mr->lkey,
				     landing, landing_mr->rkey, 8);

	if (error)
		cannot_tell(error);
}
