//! The wire, when whoever is at the other end means ill.

use pinfold_contract::{FRAME_BYTES_MAX, FrameReader, FromGuest, ToGuest, encode_frame};
use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeTuple, Serializer};

/// Reading `bytes` never panics, as a stream and as the payload of a sound frame, and what comes out of it is a message
/// that can be sent on.
///
/// Does not check what the oracles make of such a message.
pub fn wire_is_robust(bytes: &[u8]) {
    let payload = &bytes[..bytes.len().min(FRAME_BYTES_MAX)];
    for stream in [bytes, &encode_frame(&Raw(payload))] {
        drain::<FromGuest>(stream);
        drain::<ToGuest>(stream);
    }
}

/// Takes every message out of `stream`, which comes in small pieces.
fn drain<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(stream: &[u8]) {
    let mut reader = FrameReader::default();
    for piece in stream.chunks(7) {
        reader.push(piece);
        loop {
            match reader.pop::<T>() {
                Ok(Some(message)) => assert_survives(&message),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.pop::<T>(), Err(error), "a broken stream stays broken");
                    return;
                }
            }
        }
    }
}

fn assert_survives<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(message: &T) {
    let mut reader = FrameReader::default();
    reader.push(&encode_frame(message));
    match reader.pop::<T>() {
        Ok(Some(again)) => assert_eq!(again, *message),
        other => panic!("{message:?} was sent on and became {other:?}"),
    }
}

/// Bytes that are their own encoding, to put any payload in a frame with the right length and checksum.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}
