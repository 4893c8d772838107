//! The wire delivers what was sent or says why not, whatever the bytes are.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pinfold_contract::{FrameReader, FromGuest, Observe, ToGuest, WireError, encode_frame, parse};

fn message() -> ToGuest {
    let sequence =
        parse("# pinfold 1\nmap 0..4 anon private rw\nreg mr0 0..1 none\n").unwrap().sequence;
    ToGuest::Run { id: 7, sequence, observe: Observe::Each, op_deadline_ms: 1000 }
}

#[test]
fn a_frame_arrives_whole_however_it_is_cut() {
    let frame = encode_frame(&message());
    for cut in 0..frame.len() {
        let mut reader = FrameReader::default();
        reader.push(&frame[..cut]);
        assert_eq!(reader.pop::<ToGuest>().unwrap(), None);
        reader.push(&frame[cut..]);
        reader.push(&frame);
        assert_eq!(reader.pop().unwrap(), Some(message()));
        assert_eq!(reader.pop().unwrap(), Some(message()));
    }
}

#[test]
fn no_changed_byte_goes_unnoticed() {
    let frame = encode_frame(&message());
    for index in 0..frame.len() {
        let mut changed = frame.clone();
        changed[index] ^= 0x10;
        let mut reader = FrameReader::default();
        reader.push(&changed);
        // A longer length just waits for more bytes.
        assert!(!matches!(reader.pop::<ToGuest>(), Ok(Some(_))), "byte {index}");
    }
}

#[test]
fn a_huge_length_is_refused_before_memory_is_taken() {
    let mut frame = encode_frame(&message());
    frame[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut reader = FrameReader::default();
    reader.push(&frame);
    assert_eq!(reader.pop::<FromGuest>(), Err(WireError::TooLong { len_bytes: u32::MAX }));
}

#[test]
fn the_other_version_is_named() {
    let mut frame = encode_frame(&message());
    frame[2] = 0xff;
    let mut reader = FrameReader::default();
    reader.push(&frame);
    let error = reader.pop::<FromGuest>().unwrap_err();
    assert!(matches!(error, WireError::Version { theirs: 0xff, .. }), "{error}");
}
