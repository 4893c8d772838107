//! Bytes to runs, eight at a time.

use pinfold_contract::Runs;

/// Appends the runs of `bytes` to `runs`.
pub(crate) fn append(runs: &mut Runs, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let eight = [first; 8];
        let (words, _) = rest.as_chunks::<8>();
        let whole = 8 * words.iter().take_while(|&&word| word == eight).count();
        let tail = rest[whole..].iter().take_while(|&&byte| byte == first).count();
        let len = whole + tail;
        runs.push(u32::try_from(len).expect("the arena is smaller than 4 GiB"), first);
        rest = &rest[len..];
    }
}

/// The runs of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> Runs {
    let mut runs = Runs::default();
    append(&mut runs, bytes);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_the_contract() {
        for period in 1..40usize {
            let bytes: Vec<u8> =
                (0..300usize).map(|i| u8::try_from(i / period % 251).unwrap()).collect();
            for end in 0..bytes.len() {
                assert_eq!(of(&bytes[..end]), Runs::of(&bytes[..end]));
            }
        }
    }
}
