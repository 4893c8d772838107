//! The structures that `rdma_sys` wrote by hand, against those that C has.

use std::fmt::Write;
use std::mem::{align_of, offset_of, size_of};
use std::process::Command;

use rdma_sys as ffi;

const PROGRAM: &str = r#"
#include <infiniband/verbs.h>
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <stddef.h>
#include <stdio.h>
#define TYPE(t) printf("%s %zu %zu\n", #t, sizeof(t), _Alignof(t))
#define NUMBER(n) printf("%s %llu\n", #n, (unsigned long long)(n))
#define FIELD(t, f, name) printf("%s %zu\n", name, offsetof(struct t, f))
int main(void)
{
    TYPE(union ibv_gid);
    TYPE(struct ibv_ah_attr);
    TYPE(struct ibv_context);
    TYPE(struct ibv_device_attr_ex);
    TYPE(struct ibv_global_route);
    TYPE(struct ibv_mr);
    TYPE(struct ibv_mw);
    TYPE(struct ibv_mw_bind);
    TYPE(struct ibv_mw_bind_info);
    TYPE(struct ibv_qp_attr);
    TYPE(struct ibv_qp_ex);
    TYPE(struct ibv_qp_init_attr);
    TYPE(struct ibv_qp_init_attr_ex);
    TYPE(struct ibv_recv_wr);
    TYPE(struct ibv_send_wr);
    TYPE(struct ibv_sge);
    TYPE(struct ibv_wc);
    TYPE(struct verbs_context);
    FIELD(ibv_ah_attr, grh.dgid, "ah.dgid");
    FIELD(ibv_ah_attr, grh.sgid_index, "ah.sgid_index");
    FIELD(ibv_ah_attr, grh.hop_limit, "ah.hop_limit");
    FIELD(ibv_ah_attr, is_global, "ah.is_global");
    FIELD(ibv_ah_attr, port_num, "ah.port_num");
    FIELD(ibv_mr, lkey, "mr.lkey");
    FIELD(ibv_mr, rkey, "mr.rkey");
    FIELD(ibv_mw, rkey, "mw.rkey");
    FIELD(ibv_mw_bind, bind_info, "bind.bind_info");
    FIELD(ibv_mw_bind_info, mw_access_flags, "info.mw_access_flags");
    FIELD(ibv_qp_ex, wr_flags, "qp.wr_flags");
    FIELD(ibv_qp_ex, wr_atomic_cmp_swp, "qp.wr_atomic_cmp_swp");
    FIELD(ibv_qp_ex, wr_atomic_fetch_add, "qp.wr_atomic_fetch_add");
    FIELD(ibv_qp_ex, wr_set_sge_list, "qp.wr_set_sge_list");
    FIELD(ibv_qp_ex, wr_start, "qp.wr_start");
    FIELD(ibv_qp_ex, wr_complete, "qp.wr_complete");
    FIELD(ibv_qp_init_attr_ex, comp_mask, "init.comp_mask");
    FIELD(ibv_qp_init_attr_ex, pd, "init.pd");
    FIELD(ibv_qp_init_attr_ex, send_ops_flags, "init.send_ops_flags");
    FIELD(ibv_send_wr, sg_list, "wr.sg_list");
    FIELD(ibv_send_wr, num_sge, "wr.num_sge");
    FIELD(ibv_send_wr, opcode, "wr.opcode");
    FIELD(ibv_send_wr, send_flags, "wr.send_flags");
    FIELD(ibv_send_wr, wr.rdma.remote_addr, "wr.remote_addr");
    FIELD(ibv_send_wr, wr.rdma.rkey, "wr.rkey");
    FIELD(ibv_send_wr, invalidate_rkey, "wr.invalidate_rkey");
    FIELD(ibv_send_wr, bind_mw.mw, "wr.bind_mw.mw");
    FIELD(ibv_send_wr, bind_mw.rkey, "wr.bind_mw.rkey");
    FIELD(ibv_send_wr, bind_mw.bind_info, "wr.bind_mw.bind_info");
    FIELD(ibv_wc, status, "wc.status");
    FIELD(verbs_context, context, "verbs.context");
    FIELD(verbs_context, create_qp_ex, "verbs.create_qp_ex");
    FIELD(verbs_context, query_device_ex, "verbs.query_device_ex");
    FIELD(verbs_context, sz, "verbs.sz");
    TYPE(struct ib_uverbs_ioctl_hdr);
    TYPE(struct ib_uverbs_attr);
    TYPE(struct ib_uverbs_cmd_hdr);
    TYPE(struct ib_uverbs_reg_mr);
    TYPE(struct ib_uverbs_reg_mr_resp);
    TYPE(struct ib_uverbs_rereg_mr);
    TYPE(struct ib_uverbs_rereg_mr_resp);
    TYPE(struct ib_uverbs_dereg_mr);
    FIELD(ib_uverbs_ioctl_hdr, driver_id, "ioctl.driver_id");
    FIELD(ib_uverbs_ioctl_hdr, attrs, "ioctl.attrs");
    FIELD(ib_uverbs_attr, flags, "attr.flags");
    FIELD(ib_uverbs_attr, data, "attr.data");
    FIELD(ib_uverbs_reg_mr, hca_va, "reg.hca_va");
    FIELD(ib_uverbs_reg_mr, access_flags, "reg.access_flags");
    FIELD(ib_uverbs_reg_mr_resp, rkey, "reg_resp.rkey");
    FIELD(ib_uverbs_rereg_mr, flags, "rereg.flags");
    FIELD(ib_uverbs_rereg_mr, hca_va, "rereg.hca_va");
    FIELD(ib_uverbs_rereg_mr, access_flags, "rereg.access_flags");
    FIELD(ib_uverbs_rereg_mr_resp, rkey, "rereg_resp.rkey");
    NUMBER(IB_USER_VERBS_CMD_REG_MR);
    NUMBER(IB_USER_VERBS_CMD_REREG_MR);
    NUMBER(IB_USER_VERBS_CMD_DEREG_MR);
    NUMBER(RDMA_VERBS_IOCTL);
    NUMBER(UVERBS_OBJECT_DEVICE);
    NUMBER(UVERBS_METHOD_INVOKE_WRITE);
    NUMBER(UVERBS_ATTR_CORE_IN);
    NUMBER(UVERBS_ATTR_CORE_OUT);
    NUMBER(UVERBS_ATTR_WRITE_CMD);
    NUMBER(UVERBS_ATTR_F_MANDATORY);
    NUMBER(RDMA_DRIVER_RXE);
    return 0;
}
"#;

macro_rules! types {
    ($out:ident: $($word:literal $type:ident),* $(,)?) => {
        $(writeln!($out, "{} {} {} {}", $word, stringify!($type), size_of::<ffi::$type>(),
            align_of::<ffi::$type>()).unwrap();)*
    };
}

macro_rules! own_types {
    ($out:ident: $($name:literal $type:ident),* $(,)?) => {
        $(writeln!($out, "struct {} {} {}", $name, size_of::<super::commands::$type>(),
            align_of::<super::commands::$type>()).unwrap();)*
    };
}

/// What `PROGRAM` should print.
fn ours() -> String {
    let mut out = String::new();
    types!(out:
        "union" ibv_gid, "struct" ibv_ah_attr, "struct" ibv_context, "struct" ibv_device_attr_ex,
        "struct" ibv_global_route, "struct" ibv_mr, "struct" ibv_mw,
        "struct" ibv_mw_bind, "struct" ibv_mw_bind_info, "struct" ibv_qp_attr, "struct" ibv_qp_ex,
        "struct" ibv_qp_init_attr, "struct" ibv_qp_init_attr_ex, "struct" ibv_recv_wr,
        "struct" ibv_send_wr, "struct" ibv_sge, "struct" ibv_wc, "struct" verbs_context,
    );
    let grh = offset_of!(ffi::ibv_ah_attr, grh);
    let rdma = offset_of!(ffi::ibv_send_wr, wr);
    let bind = offset_of!(ffi::ibv_send_wr, bind_mw_tso_union);
    let fields = [
        ("ah.dgid", grh + offset_of!(ffi::ibv_global_route, dgid)),
        ("ah.sgid_index", grh + offset_of!(ffi::ibv_global_route, sgid_index)),
        ("ah.hop_limit", grh + offset_of!(ffi::ibv_global_route, hop_limit)),
        ("ah.is_global", offset_of!(ffi::ibv_ah_attr, is_global)),
        ("ah.port_num", offset_of!(ffi::ibv_ah_attr, port_num)),
        ("mr.lkey", offset_of!(ffi::ibv_mr, lkey)),
        ("mr.rkey", offset_of!(ffi::ibv_mr, rkey)),
        ("mw.rkey", offset_of!(ffi::ibv_mw, rkey)),
        ("bind.bind_info", offset_of!(ffi::ibv_mw_bind, bind_info)),
        ("info.mw_access_flags", offset_of!(ffi::ibv_mw_bind_info, mw_access_flags)),
        ("qp.wr_flags", offset_of!(ffi::ibv_qp_ex, wr_flags)),
        ("qp.wr_atomic_cmp_swp", offset_of!(ffi::ibv_qp_ex, wr_atomic_cmp_swp)),
        ("qp.wr_atomic_fetch_add", offset_of!(ffi::ibv_qp_ex, wr_atomic_fetch_add)),
        ("qp.wr_set_sge_list", offset_of!(ffi::ibv_qp_ex, wr_set_sge_list)),
        ("qp.wr_start", offset_of!(ffi::ibv_qp_ex, wr_start)),
        ("qp.wr_complete", offset_of!(ffi::ibv_qp_ex, wr_complete)),
        ("init.comp_mask", offset_of!(ffi::ibv_qp_init_attr_ex, comp_mask)),
        ("init.pd", offset_of!(ffi::ibv_qp_init_attr_ex, pd)),
        ("init.send_ops_flags", offset_of!(ffi::ibv_qp_init_attr_ex, send_ops_flags)),
        ("wr.sg_list", offset_of!(ffi::ibv_send_wr, sg_list)),
        ("wr.num_sge", offset_of!(ffi::ibv_send_wr, num_sge)),
        ("wr.opcode", offset_of!(ffi::ibv_send_wr, opcode)),
        ("wr.send_flags", offset_of!(ffi::ibv_send_wr, send_flags)),
        ("wr.remote_addr", rdma + offset_of!(ffi::rdma_t, remote_addr)),
        ("wr.rkey", rdma + offset_of!(ffi::rdma_t, rkey)),
        ("wr.invalidate_rkey", offset_of!(ffi::ibv_send_wr, imm_data_invalidated_rkey_union)),
        ("wr.bind_mw.mw", bind + offset_of!(ffi::bind_mw_t, mw)),
        ("wr.bind_mw.rkey", bind + offset_of!(ffi::bind_mw_t, rkey)),
        ("wr.bind_mw.bind_info", bind + offset_of!(ffi::bind_mw_t, bind_info)),
        ("wc.status", offset_of!(ffi::ibv_wc, status)),
        ("verbs.context", offset_of!(ffi::verbs_context, context)),
        ("verbs.create_qp_ex", offset_of!(ffi::verbs_context, create_qp_ex)),
        ("verbs.query_device_ex", offset_of!(ffi::verbs_context, query_device_ex)),
        ("verbs.sz", offset_of!(ffi::verbs_context, sz)),
    ];
    for (name, offset) in fields {
        writeln!(out, "{name} {offset}").unwrap();
    }
    out + &our_commands()
}

/// What it should print of commands without the library.
fn our_commands() -> String {
    use super::commands as our;
    let mut out = String::new();
    own_types!(out:
        "ib_uverbs_ioctl_hdr" Header, "ib_uverbs_attr" Attribute,
        "ib_uverbs_cmd_hdr" CommandHeader, "ib_uverbs_reg_mr" RegMr,
        "ib_uverbs_reg_mr_resp" RegMrResponse, "ib_uverbs_rereg_mr" ReregMr,
        "ib_uverbs_rereg_mr_resp" ReregMrResponse, "ib_uverbs_dereg_mr" DeregMr,
    );
    let numbers: [(&str, u64); 22] = [
        ("ioctl.driver_id", offset_of!(our::Header, driver_id) as u64),
        ("ioctl.attrs", size_of::<our::Header>() as u64),
        ("attr.flags", offset_of!(our::Attribute, flags) as u64),
        ("attr.data", offset_of!(our::Attribute, data) as u64),
        ("reg.hca_va", offset_of!(our::RegMr, hca_va) as u64),
        ("reg.access_flags", offset_of!(our::RegMr, access_flags) as u64),
        ("reg_resp.rkey", offset_of!(our::RegMrResponse, rkey) as u64),
        ("rereg.flags", offset_of!(our::ReregMr, flags) as u64),
        ("rereg.hca_va", offset_of!(our::ReregMr, hca_va) as u64),
        ("rereg.access_flags", offset_of!(our::ReregMr, access_flags) as u64),
        ("rereg_resp.rkey", offset_of!(our::ReregMrResponse, rkey) as u64),
        ("IB_USER_VERBS_CMD_REG_MR", our::REG_MR.into()),
        ("IB_USER_VERBS_CMD_REREG_MR", our::REREG_MR.into()),
        ("IB_USER_VERBS_CMD_DEREG_MR", our::DEREG_MR.into()),
        ("RDMA_VERBS_IOCTL", our::VERBS_IOCTL.into()),
        ("UVERBS_OBJECT_DEVICE", our::OBJECT_DEVICE.into()),
        ("UVERBS_METHOD_INVOKE_WRITE", our::METHOD_INVOKE_WRITE.into()),
        ("UVERBS_ATTR_CORE_IN", our::ATTR_CORE_IN.into()),
        ("UVERBS_ATTR_CORE_OUT", our::ATTR_CORE_OUT.into()),
        ("UVERBS_ATTR_WRITE_CMD", our::ATTR_WRITE_CMD.into()),
        ("UVERBS_ATTR_F_MANDATORY", our::MANDATORY.into()),
        ("RDMA_DRIVER_RXE", our::DRIVER_RXE.into()),
    ];
    for (name, number) in numbers {
        writeln!(out, "{name} {number}").unwrap();
    }
    out
}

#[test]
fn structures_are_laid_out_as_in_c() {
    let dir = std::env::temp_dir().join(format!("pinfold-layout-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (source, program) = (dir.join("layout.c"), dir.join("layout"));
    std::fs::write(&source, PROGRAM).unwrap();
    let compiled = Command::new("cc").arg("-o").arg(&program).arg(&source).status().unwrap();
    assert!(compiled.success());
    let theirs = Command::new(&program).output().unwrap().stdout;
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(String::from_utf8(theirs).unwrap(), ours());
}
