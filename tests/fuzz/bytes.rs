//! Changes that know nothing of a format but some of its words.

use roentgen_tests::random::Random;

/// What a format is made of.
#[derive(Clone, Copy)]
pub(crate) struct Vocabulary {
    /// Words and signs of it, and some that nearly are.
    pub(crate) words: &'static [&'static [u8]],
    /// What opens a level of nesting, and what closes it.
    pub(crate) brackets: &'static [(&'static [u8], &'static [u8])],
}

/// Returns the input with one change; `other` is an input to take pieces from.
pub(crate) fn change(
    input: &[u8],
    other: &[u8],
    vocabulary: &Vocabulary,
    random: &mut Random,
) -> Vec<u8> {
    let mut bytes = input.to_vec();
    match random.below(16) {
        0 => flip_bit(&mut bytes, random),
        1 => put_byte(&mut bytes, random),
        2 => {
            let at = place(&bytes, random);
            let inserted: Vec<u8> = (0..random.between(1, 8)).map(|_| byte(random)).collect();
            bytes.splice(at..at, inserted);
        }
        3 | 4 => {
            let removed = range(&bytes, random);
            bytes.drain(removed);
        }
        5 => {
            let copied = bytes[range(&bytes, random)].to_vec();
            let at = place(&bytes, random);
            bytes.splice(at..at, copied);
        }
        6 => {
            let (from, to) = (range(&bytes, random), place(&bytes, random));
            let moved: Vec<u8> = bytes.drain(from).collect();
            let to = to.min(bytes.len());
            bytes.splice(to..to, moved);
        }
        7 => {
            let head = place(&bytes, random);
            bytes.truncate(head);
            bytes.extend_from_slice(&other[place(other, random)..]);
        }
        8 => {
            let (replaced, taken) = (range(&bytes, random), range(other, random));
            bytes.splice(replaced, other[taken].iter().copied());
        }
        9 | 10 => {
            let at = place(&bytes, random);
            bytes.splice(at..at, random.pick(vocabulary.words).iter().copied());
        }
        11 => {
            let replaced = range(&bytes, random);
            bytes.splice(replaced, random.pick(vocabulary.words).iter().copied());
        }
        12 => put_number(&mut bytes, random),
        13 => {
            let end = place(&bytes, random);
            bytes.truncate(end);
        }
        14 => {
            let repeated = range(&bytes, random);
            let n_copies_max = REPEATED_BYTES_MAX / repeated.len().max(1);
            let n_copies = n_copies_max.min(1 << random.below(12));
            let copies = bytes[repeated.clone()].repeat(n_copies);
            bytes.splice(repeated, copies);
        }
        _ => nest(&mut bytes, vocabulary, random),
    }
    bytes
}

/// Returns about so many bytes: the input with one piece of it again and again. The same chance takes the same piece.
///
/// Pieces mostly go from one byte to the next that is the same, so that what follows on what stays as it was.
pub(crate) fn grow(input: &[u8], n_bytes: usize, random: &mut Random) -> Vec<u8> {
    let at = place(input, random);
    let same = |byte: &u8| Some(byte) == input.get(at);
    let mut alike: Vec<usize> = (at..input.len()).filter(|idx| same(&input[*idx])).collect();
    alike.truncate(8);
    let end = match alike.get(1..) {
        Some(ends) if !ends.is_empty() && random.percent(80) => ends[index(random, ends.len())],
        Some(_) | None => (at + index(random, 12) + 1).min(input.len()),
    };
    let (head, rest) = input.split_at(at);
    let (piece, tail) = rest.split_at(end - at);
    let n_missing = n_bytes.saturating_sub(input.len());
    let n_pieces = n_missing / piece.len().max(1);
    [head, &piece.repeat(n_pieces + 1), tail].concat()
}

/// Returns a place in the bytes or behind them.
pub(crate) fn place(bytes: &[u8], random: &mut Random) -> usize {
    index(random, bytes.len() + 1)
}

/// Returns a number below `end`, 0 for 0.
pub(crate) fn index(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(u32::try_from(end).unwrap())).unwrap()
}

/// Returns a range of the bytes, mostly a short one.
pub(crate) fn range(bytes: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let start = place(bytes, random);
    let end = if random.percent(75) {
        (start + index(random, 17)).min(bytes.len())
    } else {
        start + index(random, bytes.len() - start + 1)
    };
    start..end
}

fn byte(random: &mut Random) -> u8 {
    if random.percent(50) {
        return random.pick(BYTES);
    }
    u8::try_from(random.below(256)).unwrap()
}

fn flip_bit(bytes: &mut [u8], random: &mut Random) {
    if !bytes.is_empty() {
        bytes[index(random, bytes.len())] ^= 1 << random.below(8);
    }
}

fn put_byte(bytes: &mut [u8], random: &mut Random) {
    if !bytes.is_empty() {
        bytes[index(random, bytes.len())] = byte(random);
    }
}

/// Puts a number at the edge of some type in the place of a run of digits, or of so many bytes.
fn put_number(bytes: &mut Vec<u8>, random: &mut Random) {
    let digits: Vec<usize> = (0..bytes.len())
        .filter(|idx| bytes[*idx].is_ascii_digit())
        .collect();
    if digits.is_empty() || random.percent(20) {
        let edge = random.pick(BINARY);
        let n_edge = 1 << random.below(4);
        let edge = edge.to_le_bytes();
        let at = place(bytes, random);
        let end = (at + n_edge).min(bytes.len());
        bytes.splice(at..end, edge[..n_edge].iter().copied());
        return;
    }
    let start = digits[index(random, digits.len())];
    let n_digits = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = random.pick(NUMBERS).bytes();
    bytes.splice(start..start + n_digits, number);
}

/// Puts brackets around a piece, many times.
fn nest(bytes: &mut Vec<u8>, vocabulary: &Vocabulary, random: &mut Random) {
    let (open, close) = random.pick(vocabulary.brackets);
    let n_levels = 1 << random.below(13);
    let inner = range(bytes, random);
    let piece = bytes[inner.clone()].to_vec();
    let mut nested = open.repeat(n_levels);
    nested.truncate(REPEATED_BYTES_MAX);
    nested.extend(piece);
    // Now and then nothing is closed.
    if random.percent(80) {
        nested.extend(close.repeat(n_levels).into_iter().take(REPEATED_BYTES_MAX));
    }
    bytes.splice(inner, nested);
}

/// Texts of numbers at which readers go wrong.
pub(crate) const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1",
    "00",
    "1.",
    ".5",
    "0.1",
    "-0.0000001",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073.709551615",
    "18446744073.709551616",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999999",
    "1478293361.2710001234567890123456789",
    "1e9",
    "1E+9",
    "1.0e-9",
    "1e308",
    "1e309",
    "-1e309",
    "1e-400",
    "1e2147483648",
    "1e-9223372036854775809",
    "0.99999999999999999999999999",
    "NaN",
    "Infinity",
];
const BINARY: &[u64] = &[
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];
const BYTES: &[u8] =
    b"\0\t\n\r \"#%&'()*+,-./:;<=>?[\\]_{}~09aAfFzZ\x1f\x7f\x80\xbf\xc0\xc3\xe2\xed\xf0\xf4\xff";
const REPEATED_BYTES_MAX: usize = 70_000;
