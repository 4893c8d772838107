//! What the model says of registration, keys, windows and requests, op by op.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pinfold::model::{PredictedStep, predict};
use pinfold::profile::Profile;
use pinfold_contract::Observe;
use pinfold_contract::parse;

/// Predicts `text` on every kernel and checks each expectation beside its ops.
fn check(text: &str) -> Vec<Vec<PredictedStep>> {
    let file = parse(&format!("# pinfold 1\n{text}")).unwrap();
    let mut runs = Vec::new();
    for profile in Profile::all() {
        let steps = predict(profile, &file.sequence, Observe::Each);
        for (index, (step, expectation)) in steps.iter().zip(&file.expectations).enumerate() {
            let (series, platform) = (profile.series, profile.platform.name());
            if let Some(wanted) = expectation.as_ref().and_then(|e| e.on(series, platform)) {
                let got = step.prediction.expected().to_string();
                assert_eq!(got, wanted, "op {index} on {series}");
            }
        }
        runs.push(steps);
    }
    runs
}

/// The state after an op is followed whatever the outcome that is expected.
fn followed(step: &PredictedStep) -> bool {
    step.prediction.follows(step.prediction.expected())
}

const ALL: &str = "local_write|remote_write|remote_read|remote_atomic|mw_bind";

#[test]
fn a_registration_takes_any_length_and_address() {
    check(
        "map 0..4 anon private rw
         reg mr0 0..+0xffffffffffffffff remote_read     # = EINVAL
         reg mr0 0..+0x100000000000 remote_read         # = EINVAL
         reg mr0 0..+0xfff000000000 remote_read         # = EINVAL
         reg mr0 0..+0xfffffff000 remote_read           # = EFAULT
         reg mr0 0..0 remote_read                       # = EINVAL
         reg mr0 0+8..0+8 remote_read                   # = ok
         reg mr1 0..2 remote_read iova=0x10             # = EINVAL
         reg mr1 0+16..2 remote_read iova=0x10          # = ok
         read_remote mr1+0 8                            # = 0x00
         read_remote mr1-1 1                            # = rem_access_err
         reg mr2 0..1 remote_read via=raw iova=0xfffffffffffff000 # = ok
         read_remote mr2+4088 8                         # = 0x00
         read_remote mr2+4088 9                         # = rem_access_err",
    );
}

#[test]
fn a_capability_lifts_the_limit() {
    check(
        "map 0..4 anon private rw
         limit 0
         reg mr0 0..1 remote_read # = EPERM
         ipc_lock on
         reg mr0 0..1 remote_read # = ok
         ipc_lock off
         limit 4096
         reg mr1 0..1 remote_read # = ENOMEM
         dereg mr0
         reg mr1 0..1 remote_read # = ok",
    );
}

#[test]
fn only_rights_and_domain_are_reregistered_and_only_by_612() {
    let runs = check(
        "map 0..2 anon private rw
         reg mr0 0..1 local_write|remote_read
         write_remote mr0+0 8 0x11                                    # = rem_access_err
         rereg mr0 access 0..1 local_write|remote_write               # = <6.12: EOPNOTSUPP, ok
         write_remote mr0+0 8 0x11                                    # = <6.12: rem_access_err, ok
         rereg mr0 none 0..1 none                                     # = <6.12: EOPNOTSUPP, EINVAL
         rereg mr0 trans 0..2 none                                    # = EOPNOTSUPP
         rereg mr0 access 0..1 remote_write                           # = <6.12: EOPNOTSUPP, EINVAL
         rereg mr0 pd 0..1 none pd=1                                  # = <6.12: EOPNOTSUPP, ok
         write_remote mr0+0 8 0x22                                    # = rem_access_err
         write_remote mr0+0 8 0x22 qp=1                               # = <6.12: rem_access_err, ok
         reg mr1 0..1 remote_read
         rereg mr1 access 0..1 mw_bind                                # = <6.12: EOPNOTSUPP, EACCES
         rereg mr1 access 0..1 none                                   # = <6.12: EOPNOTSUPP, ok
         read_remote mr1+0 1                                          # = <6.12: 0x00, rem_access_err",
    );
    assert!(runs.iter().flatten().all(followed));
}

#[test]
fn a_window_has_its_own_rights_and_its_own_bounds() {
    check(
        "map 0..1 anon private rw
         reg mr0 0..1 local_write|mw_bind
         alloc_mw mw0 type1
         write_remote mr0+0 8 0x11 key=mw0                 # = rem_access_err
         bind mw0 mr0+64 64 remote_write                   # = ok
         write_remote mr0+64 64 0x11 key=mw0               # = ok
         write_remote mr0+64 65 0x11 key=mw0               # = rem_access_err
         write_remote mr0+63 1 0x11 key=mw0                # = rem_access_err
         read_remote mr0+64 1 key=mw0                      # = rem_access_err
         write_remote mr0+64 1 0x11                        # = rem_access_err
         write_remote mr0+64 1 0x11 key=mw0 qp=1           # = rem_access_err
         bind mw0 mr0+0 8 remote_read                      # = ok
         write_remote mr0+64 1 0x11 key=old_mw0            # = rem_access_err
         read_remote mr0+0 8 key=mw0                       # = 0x00
         dereg mr0                                         # = EINVAL
         bind mw0 mr0+0 0 none                             # = ok
         read_remote mr0+0 8 key=mw0                       # = rem_access_err
         dereg mr0                                         # = ok
         bind mw0 mr0+0 8 none                             # = mw_bind_err
         dealloc_mw mw0                                    # = ok
         dealloc_mw mw0                                    # = skipped",
    );
}

#[test]
fn a_bind_needs_right_domain_and_bounds() {
    check(
        "map 0..1 anon private rw
         reg mr0 0..1 local_write
         reg mr1 0..1 mw_bind
         reg mr2 0..1 local_write|mw_bind pd=1
         alloc_mw mw0 type1
         alloc_mw mw1 type2
         bind mw0 mr0+0 8 remote_read                      # = mw_bind_err
         bind mw0 mr1+0 8 remote_write                     # = mw_bind_err
         bind mw0 mr1+0 8 remote_atomic                    # = mw_bind_err
         bind mw0 mr1+4089 8 remote_read                   # = mw_bind_err
         bind mw0 mr1-1 8 remote_read                      # = mw_bind_err
         bind mw0 mr2+0 8 remote_read                      # = EPERM
         bind mw1 mr2+0 8 remote_read                      # = mw_bind_err
         bind mw1 mr1+0 8 remote_read qp=1                 # = mw_bind_err
         bind mw0 mr1+0 8 remote_read|zero_based           # = EINVAL
         bind mw1 mr1+0 0 remote_read                      # = mw_bind_err
         bind mw1 mr1+0 8 remote_read                      # = ok
         bind mw1 mr1+0 8 remote_read                      # = mw_bind_err
         bind mw2 mr1+0 8 remote_read                      # = skipped
         bind mw0 mr9+0 8 remote_read                      # = skipped",
    );
}

#[test]
fn a_window_of_type_2_is_of_one_queue_pair_until_it_is_invalidated() {
    let runs = check(
        "map 0..1 anon private rw
         reg mr0 0..1 local_write|mw_bind iova=0x0
         alloc_mw mw0 type2
         alloc_mw mw1 type1
         invalidate old_mw0                                # = skipped
         bind mw0 mr0+64 64 remote_read|zero_based         # = ok
         bind mw1 mr0+0 8 remote_read                      # = ok
         read_remote mr0+0 64 key=mw0                      # = 0x00
         read_remote mr0+0 65 key=mw0                      # = rem_access_err
         invalidate old_mw0                                # = loc_qp_op_err
         invalidate mw0 qp=1                               # = loc_qp_op_err
         invalidate mw1                                    # = loc_qp_op_err
         invalidate mr0                                    # = loc_qp_op_err
         read_remote mr0+0 1 key=mw0                       # = 0x00
         rereg mr0 access 0..1 none                        # = <6.12: EOPNOTSUPP, EINVAL
         invalidate mw0                                    # = ok
         read_remote mr0+0 1 key=mw0                       # = rem_access_err
         bind mw0 mr0+0 8 remote_read                      # = ok
         send - - inv=mw0                                  # = ok
         send - - inv=mw1                                  # = success and rem_inv_req_err
         read_remote mr0+0 1 key=mw0                       # = rem_access_err",
    );
    let objects: Vec<i64> = runs[0]
        .iter()
        .map(|step| step.checkpoint.as_ref().unwrap().rdma.cgroup_objects)
        .take(4)
        .collect();
    assert_eq!(objects, [0, 1, 2, 3]);
    assert_eq!(runs[0][3].checkpoint.as_ref().unwrap().rdma.mrs, 1);
}

#[test]
fn an_atomic_op_is_checked_for_range_before_alignment() {
    check(&format!(
        "map 0..1 anon private rw
         reg mr0 0..1 {ALL}
         reg mr1 0..1 local_write|remote_write
         fetch_add mr0+8 0x102                             # = 0x00
         fetch_add mr0+8 0x1                               # = 0x02*1 0x01*1 0x00*6
         cas mr0+8 0x103 0xffffffffffffffff                # = 0x03*1 0x01*1 0x00*6
         cas mr0+8 0x103 0x0                               # = 0xff
         read 0 24                                         # = 0x00*8 0xff*8 0x00*8
         fetch_add mr0+8 0x1                               # = 0xff
         fetch_add mr0+9 0x1                               # = rem_inv_req_err
         fetch_add mr0+4090 0x1                            # = rem_access_err
         fetch_add mr0+4096 0x1                            # = rem_access_err
         fetch_add mr1+0 0x1                               # = rem_access_err
         read 0 24                                         # = 0x00"
    ));
}

#[test]
fn a_list_takes_effect_up_to_its_first_bad_entry() {
    let runs = check(&format!(
        "map 0..2 anon private rw
         reg mr0 0..1 {ALL}
         reg mr1 1..2 remote_read
         reg mr2 0..1 {ALL} pd=1
         reg mr3 0..1 {ALL}
         dereg mr3
         write 1 4096 0x11
         gather mr1+0:8,mr3+0:0,mr1+8:8 mr0+0              # = ok
         read 0 24                                         # = 0x11*16 0x00*8
         scatter mr1+0 mr0+16:4,mr1+0:4                    # = loc_prot_err
         read 0 24                                         # = 0x11*20 0x00*4
         gather mr1+0:4,mr2+0:4 mr0+20                     # = loc_qp_op_err
         gather mr1+4090:8 mr0+20                          # = <6.12: loc_prot_err, loc_qp_op_err
         gather mr1+0:8 mr0+4090                           # = rem_access_err
         gather - mr3+0                                    # = ok
         read 0 24                                         # = 0x11*20 0x00*4
         send mr1+0:8 mr0+20:4,mr3+0:4                     # = rem_op_err and loc_qp_op_err
         read 0 32                                         # = 0x11*24 0x00*8
         send mr1+0:8 mr0+24:4                             # = rem_op_err and loc_qp_op_err
         read 0 32                                         # = 0x11*24 0x00*8
         send mr3+0:8 mr0+24:8                             # = loc_qp_op_err and nothing
         send mr1+0:8 mr1+0:8                              # = rem_op_err and loc_qp_op_err
         send mr1+0:2 mr0+24:1,mr0+30:9                    # = ok
         read 0 32                                         # = 0x11*25 0x00*5 0x11*1 0x00*1
         send mr1+0:4096 mr0+1024:2048                     # = rem_op_err and loc_qp_op_err
         read 0+1024 3072                                  # = 0x11*2048 0x00*1024"
    ));
    assert!(runs.iter().flatten().all(followed));
}

#[test]
fn a_send_of_bytes_behind_the_last_address_fails_at_both_ends_if_its_first_packet_does() {
    check(
        "map 0..2 anon private rw
         reg mr0 0..2 none iova=0xfffffffffffff000
         reg mr1 0..2 local_write
         send mr0+0:4097 -           # = <6.12: loc_prot_err and loc_qp_op_err, loc_qp_op_err and loc_qp_op_err
         send mr0+0:4097 mr1+0:4097  # = <6.12: loc_prot_err and nothing, loc_qp_op_err and nothing
         send mr0+0:4097 mr1+0:4096  # = <6.12: loc_prot_err and nothing, loc_qp_op_err and nothing
         send mr0+0:8,mr0-1:8 -      # = <6.12: loc_prot_err and nothing, loc_qp_op_err and nothing",
    );
}

/// Whether what `op` leaves is followed on each kernel, after the first 1024 bytes of an MR were written.
fn followed_everywhere(op: &str) -> bool {
    let runs = check(&format!(
        "map 0..2 anon private rw
         reg mr0 0..2 {ALL}
         write 0+0 1024 0x11
         {op}"
    ));
    let each: Vec<bool> = runs.iter().map(|steps| followed(&steps[3])).collect();
    assert!(each.iter().all(|one| *one == each[0]), "{op}: {each:?}");
    each[0]
}

#[test]
fn what_depends_on_the_order_of_packets_is_not_followed() {
    for op in [
        "gather mr0+0:1025 mr0+8                     # = ok",
        "send mr0+0:1025 mr0+8:1025                  # = ok",
        "scatter mr0+0 mr0+8:2000                    # = ok",
        "gather mr0+0:2048,mr0+8192:1 mr0+8",
        "send mr0+0:2048,mr0+8192:1 mr0+8:4000",
        "scatter mr0+0 mr0+8:2048,mr0+8192:1         # = loc_prot_err",
    ] {
        assert!(!followed_everywhere(op), "{op}");
    }
}

#[test]
fn packets_that_leave_the_same_in_any_order_are_followed() {
    for op in [
        // One packet is all there is.
        "gather mr0+0:1024 mr0+8                     # = ok",
        // They do not overlap.
        "gather mr0+0:1025 mr0+4096                  # = ok",
        "send mr0+0:1025 mr0+4096:1025               # = ok",
        "scatter mr0+0 mr0+4096:2000                 # = ok",
        // They overlap, and all bytes are the same.
        "gather mr0+2048:1025 mr0+2056               # = ok",
        "send mr0+2048:1025 mr0+2056:1025            # = ok",
        "scatter mr0+2048 mr0+2056:2000              # = ok",
        // The packet before a bad one arrives.
        "gather mr0+0:1024,mr0+8192:1 mr0+8",
        "send mr0+0:1024,mr0+8192:1 mr0+8:2000",
        "scatter mr0+0 mr0+8:1024,mr0+8192:1         # = loc_prot_err",
    ] {
        assert!(followed_everywhere(op), "{op}");
    }
}
