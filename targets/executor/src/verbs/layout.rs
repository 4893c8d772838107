//! The structures that `rdma_sys` wrote by hand, against those that C has.

use std::fmt::Write;
use std::mem::{align_of, offset_of, size_of};
use std::process::Command;

use rdma_sys as ffi;

const PROGRAM: &str = r#"
#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdio.h>
#define TYPE(t) printf("%s %zu %zu\n", #t, sizeof(t), _Alignof(t))
#define FIELD(t, f, name) printf("%s %zu\n", name, offsetof(struct t, f))
int main(void)
{
    TYPE(union ibv_gid);
    TYPE(struct ibv_ah_attr);
    TYPE(struct ibv_context);
    TYPE(struct ibv_device_attr_ex);
    TYPE(struct ibv_global_route);
    TYPE(struct ibv_mr);
    TYPE(struct ibv_qp_attr);
    TYPE(struct ibv_qp_init_attr);
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
    FIELD(ibv_send_wr, sg_list, "wr.sg_list");
    FIELD(ibv_send_wr, num_sge, "wr.num_sge");
    FIELD(ibv_send_wr, opcode, "wr.opcode");
    FIELD(ibv_send_wr, send_flags, "wr.send_flags");
    FIELD(ibv_send_wr, wr.rdma.remote_addr, "wr.remote_addr");
    FIELD(ibv_send_wr, wr.rdma.rkey, "wr.rkey");
    FIELD(ibv_wc, status, "wc.status");
    FIELD(verbs_context, context, "verbs.context");
    FIELD(verbs_context, query_device_ex, "verbs.query_device_ex");
    FIELD(verbs_context, sz, "verbs.sz");
    return 0;
}
"#;

macro_rules! types {
    ($out:ident: $($word:literal $type:ident),* $(,)?) => {
        $(writeln!($out, "{} {} {} {}", $word, stringify!($type), size_of::<ffi::$type>(),
            align_of::<ffi::$type>()).unwrap();)*
    };
}

/// What `PROGRAM` should print.
fn ours() -> String {
    let mut out = String::new();
    types!(out:
        "union" ibv_gid, "struct" ibv_ah_attr, "struct" ibv_context, "struct" ibv_device_attr_ex,
        "struct" ibv_global_route, "struct" ibv_mr, "struct" ibv_qp_attr, "struct" ibv_qp_init_attr,
        "struct" ibv_send_wr, "struct" ibv_sge, "struct" ibv_wc, "struct" verbs_context,
    );
    let grh = offset_of!(ffi::ibv_ah_attr, grh);
    let rdma = offset_of!(ffi::ibv_send_wr, wr);
    let fields = [
        ("ah.dgid", grh + offset_of!(ffi::ibv_global_route, dgid)),
        ("ah.sgid_index", grh + offset_of!(ffi::ibv_global_route, sgid_index)),
        ("ah.hop_limit", grh + offset_of!(ffi::ibv_global_route, hop_limit)),
        ("ah.is_global", offset_of!(ffi::ibv_ah_attr, is_global)),
        ("ah.port_num", offset_of!(ffi::ibv_ah_attr, port_num)),
        ("mr.lkey", offset_of!(ffi::ibv_mr, lkey)),
        ("mr.rkey", offset_of!(ffi::ibv_mr, rkey)),
        ("wr.sg_list", offset_of!(ffi::ibv_send_wr, sg_list)),
        ("wr.num_sge", offset_of!(ffi::ibv_send_wr, num_sge)),
        ("wr.opcode", offset_of!(ffi::ibv_send_wr, opcode)),
        ("wr.send_flags", offset_of!(ffi::ibv_send_wr, send_flags)),
        ("wr.remote_addr", rdma + offset_of!(ffi::rdma_t, remote_addr)),
        ("wr.rkey", rdma + offset_of!(ffi::rdma_t, rkey)),
        ("wc.status", offset_of!(ffi::ibv_wc, status)),
        ("verbs.context", offset_of!(ffi::verbs_context, context)),
        ("verbs.query_device_ex", offset_of!(ffi::verbs_context, query_device_ex)),
        ("verbs.sz", offset_of!(ffi::verbs_context, sz)),
    ];
    for (name, offset) in fields {
        writeln!(out, "{name} {offset}").unwrap();
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
