//! The id that ends a group's ARN: long, upper case, and never twice the same (spec: X-Ray developer
//! guide, `arn:aws:xray:<region>:<account>:group/<name>/<unique id>`).

use crate::AccountError;

/// Returns how the ARN of a new group ends.
pub(super) fn resource(name: &str) -> Result<String, AccountError> {
    let mut random = [0; LEN];
    getrandom::fill(&mut random).map_err(AccountError::Randomness)?;
    Ok(resource_with(name, &unique_id(random)))
}

/// Returns how the ARN of a group with this id ends.
pub(super) fn resource_with(name: &str, unique_id: &str) -> String {
    format!("group/{name}/{unique_id}")
}

/// Returns the id an ARN ends in.
pub(super) fn of_arn(arn: &str) -> &str {
    arn.rsplit_once('/').map_or("", |(_, unique_id)| unique_id)
}

/// Writes five bits of each byte as a letter or digit.
fn unique_id(random: [u8; LEN]) -> String {
    let characters = random.iter().map(|byte| match byte & 0x1f {
        letter @ 0..26 => char::from(b'A' + letter),
        digit => char::from(b'2' + digit - 26),
    });
    characters.collect()
}

/// How many characters make 260 random bits.
const LEN: usize = 52;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(byte: u8, expected: char) {
        let id = unique_id([byte; LEN]);
        assert_eq!(id, expected.to_string().repeat(LEN), "{byte}");
    }

    #[test]
    fn five_bits_are_a_character() {
        check(0, 'A');
        check(25, 'Z');
        check(26, '2');
        check(31, '7');
        check(32, 'A');
        check(255, '7');
    }

    #[test]
    fn the_id_is_the_end_of_the_arn() {
        assert_eq!(of_arn("arn:aws:xray:r:1:group/a/ID"), "ID");
        assert_ne!(resource("a").unwrap(), resource("a").unwrap());
    }
}
