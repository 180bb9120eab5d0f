//! User ids leave only as a keyed hash: without the key nobody can try names against it.

use alloc::string::String;
use core::fmt::Write;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// 32 hexadecimal digits of HMAC-SHA-256; empty without an id or without a key.
pub(crate) fn hashed(key: &[u8], user_id: &str) -> String {
    let mut text = String::new();
    if key.is_empty() || user_id.is_empty() {
        return text;
    }
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
        mac.update(user_id.as_bytes());
        for byte in mac.finalize().into_bytes().iter().take(16) {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}
