//! Secrets of programs: told from each other by their digests, in a time that says nothing about them.

use super::settings::Token;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;

/// The token that was shown, unless it is unknown or has expired.
pub fn find<'a>(tokens: &'a [Token], shown: &str, now: Timestamp) -> Option<&'a Token> {
    let shown = digest(&SHA256, shown.as_bytes());
    // All are compared, however early one is found.
    let equal = |token: &Token| verify_slices_are_equal(&token.digest, shown.as_ref()).is_ok();
    let found = tokens.iter().fold(None, |found, token| if equal(token) { Some(token) } else { found })?;
    found.expires.is_none_or(|expires| now < expires).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::settings::Settings;

    #[test]
    fn a_token_is_known_by_its_digest_until_it_expires() {
        // printf 'hunter2' | sha256sum
        let text = "[[grant]]\nname = \"ops\"\nrole = \"admin\"\n[[token]]\nname = \"ci\"\ngrant = \"ops\"\n\
            sha256 = \"f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7\"\n\
            expires = \"2026-01-01T00:00:00Z\"\n";
        let settings = Settings::parse(text).unwrap();
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        let name = |shown, time| find(&settings.tokens, shown, at(time)).map(|token| token.name.as_str());
        assert_eq!(name("hunter2", "2025-12-31T23:59:59Z"), Some("ci"));
        assert_eq!(name("hunter2", "2026-01-01T00:00:00Z"), None);
        assert_eq!(name("hunter3", "2025-12-31T23:59:59Z"), None);
        assert_eq!(name("", "2025-12-31T23:59:59Z"), None);
    }
}
