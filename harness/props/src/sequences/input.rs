//! What fuzz targets are given: text that is a sequence, and what an engine makes of it.
//!
//! An engine has bytes alone. What it keeps is always text (`.seq`), so that its files can be read, edited and replayed,
//! and outlive every change of the generator. Bytes that are no text are a sequence all the same: see [`decode`].

use std::fmt;

use arbitrary::{Arbitrary, Unstructured};
use pinfold::mutate::{cross, mutate};
use pinfold_contract::{Sequence, VERSION_LINE, decode, print_op};

/// The sequence that an input is.
pub struct Input(pub Sequence);

/// Takes all bytes, and never fails.
impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Input> {
        let bytes = u.bytes(u.len())?;
        Ok(Input(decode(bytes).sequence))
    }

    /// Bounded: of what is not, bolero draws nothing.
    fn size_hint(depth: usize) -> (usize, Option<usize>) {
        Sequence::size_hint(depth)
    }
}

/// Its text: what `cargo fuzz fmt` shows.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(pinfold_contract::print(&self.0).trim_end())
    }
}

/// Changes the input in the first `len_bytes` bytes of `data` into another one of at most `len_bytes_max` bytes. Gives
/// its length.
pub fn mutate_input(
    data: &mut [u8],
    len_bytes: usize,
    len_bytes_max: usize,
    rng_seed: u32,
) -> usize {
    mutate_input_to(data, len_bytes, len_bytes_max, |sequence| mutate(sequence, rng_seed.into()))
}

/// The same, with what `change` makes of it.
pub fn mutate_input_to(
    data: &mut [u8],
    len_bytes: usize,
    len_bytes_max: usize,
    change: impl FnOnce(&Sequence) -> Sequence,
) -> usize {
    store(&change(&decode(&data[..len_bytes]).sequence), &mut data[..len_bytes_max])
}

/// Puts an input made of `one` and `other` into `out`. Gives its length.
pub fn cross_inputs(one: &[u8], other: &[u8], out: &mut [u8], rng_seed: u32) -> usize {
    cross_inputs_to(one, other, out, |one, other| cross(one, other, rng_seed.into()))
}

/// The same, with what `join` makes of them.
pub fn cross_inputs_to(
    one: &[u8],
    other: &[u8],
    out: &mut [u8],
    join: impl FnOnce(&Sequence, &Sequence) -> Sequence,
) -> usize {
    let [one, other] = [one, other].map(|bytes| decode(bytes).sequence);
    store(&join(&one, &other), out)
}

/// Changes the text behind the version line with `edit`, which is as [`mutate_input`] without a number, and takes out the
/// lines that are no op any more. An input without such text stays as it is.
pub fn edit_input(
    data: &mut [u8],
    len_bytes: usize,
    len_bytes_max: usize,
    edit: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let head = VERSION_LINE.len() + 1;
    if len_bytes <= head || len_bytes_max <= head || !data.starts_with(VERSION_LINE.as_bytes()) {
        return len_bytes.min(len_bytes_max);
    }
    let len = head + edit(&mut data[head..], len_bytes - head, len_bytes_max - head);
    let sequence = decode(&data[..len]).sequence;
    store(&sequence, &mut data[..len_bytes_max])
}

/// Writes as many ops as there is room for, from the first one on. Gives the length; 0 where not even the version line
/// has room.
fn store(sequence: &Sequence, out: &mut [u8]) -> usize {
    let head = format!("{VERSION_LINE}\n");
    let ops = sequence.ops.iter().map(|op| print_op(op) + "\n");
    let mut len = 0;
    for line in [head].into_iter().chain(ops) {
        let Some(room) = out.get_mut(len..len + line.len()) else { break };
        room.copy_from_slice(line.as_bytes());
        len += line.len();
    }
    len
}

#[cfg(test)]
mod tests {
    use pinfold::generate::Generator;
    use pinfold_contract::{parse, print};

    use super::*;

    fn text(index: u64) -> Vec<u8> {
        print(&Generator::new(3).sequence(index)).into_bytes()
    }

    /// The sequence of an input that must be text without a wrong line.
    #[track_caller]
    fn read(input: &[u8]) -> Sequence {
        let text = std::str::from_utf8(input).unwrap_or_else(|error| panic!("{error}: {input:?}"));
        parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}")).sequence
    }

    #[test]
    fn what_is_made_of_any_input_is_text() {
        for index in 0..200 {
            let mut data = [text(index.into()), vec![0xff; 600]].concat();
            // Every third input is no text to begin with.
            data[0] ^= u8::from(index % 3 == 0);
            let len_bytes = data.len() - 600;
            let len_bytes_max = data.len();
            let len = mutate_input(&mut data, len_bytes, len_bytes_max, index);
            assert!(!read(&data[..len]).ops.is_empty());
            let mut out = vec![0; 4096];
            let len = cross_inputs(&data[..len], &text(u64::from(index) + 1), &mut out, index);
            assert!(!read(&out[..len]).ops.is_empty());
        }
    }

    #[test]
    fn what_does_not_fit_keeps_its_first_ops() {
        let sequence = Generator::new(3).sequence(0);
        let whole = text(0);
        for len_bytes_max in 0..whole.len() {
            let mut out = vec![0; len_bytes_max];
            let len = store(&sequence, &mut out);
            assert!(len <= len_bytes_max);
            if len == 0 {
                assert!(len_bytes_max <= VERSION_LINE.len());
                continue;
            }
            let kept = read(&out[..len]).ops;
            assert!(sequence.ops.starts_with(&kept), "{}", print(&Sequence { ops: kept }));
            let room = &whole[len..len_bytes_max];
            assert!(!room.contains(&b'\n'), "another op had room in {len_bytes_max} bytes");
        }
        let mut data = whole.clone();
        let shrunk = mutate_input(&mut data, whole.len(), whole.len() / 2, 1);
        assert!((1..=whole.len() / 2).contains(&shrunk));
    }

    #[test]
    fn an_edit_leaves_whole_lines_alone() {
        let mut data = b"# pinfold 1\nfork p1\nreg mr0 0..1 remote_read\nfork p2\n".to_vec();
        let len = data.len();
        let len = edit_input(&mut data, len, len, |body, size, _| {
            body[10] = b'?';
            size
        });
        assert_eq!(&data[..len], b"# pinfold 1\nfork p1\nfork p2\n");
        let mut bytes = [7; 40];
        assert_eq!(edit_input(&mut bytes, 30, 20, |_, _, _| 0), 20);
        assert_eq!(bytes, [7; 40]);
    }

    #[test]
    fn an_input_shows_as_its_text() {
        let text = text(5);
        let input = Input::arbitrary_take_rest(Unstructured::new(&text));
        let shown = input.map(|input| format!("{input:#?}\n")).unwrap_or_default();
        assert_eq!(shown.as_bytes(), text);
    }
}
