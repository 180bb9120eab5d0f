//! What a browser keeps for us and can neither read nor change: sealed with AES-256-GCM.
//!
//! A session is in its cookie, so that any instance with the same key knows it, and none has to remember it.

use super::settings::base64url;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use process::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest sealed text that is looked at: browsers keep 4,096 bytes a cookie.
const LONGEST: usize = 4_096;

/// A key and what it has sealed.
#[derive(Debug)]
pub struct Seal(LessSafeKey);

impl Seal {
    /// With this secret, or with one that ends with the process.
    pub fn new(secret: Option<&Secret>) -> Self {
        let key: [u8; 32] = match secret {
            // The file holds text of any length; its digest has the length of a key.
            Some(secret) => {
                let mut key = [0; 32];
                key.copy_from_slice(digest(&SHA256, secret.reveal().as_bytes()).as_ref());
                key
            }
            None => random(),
        };
        #[allow(clippy::expect_used, reason = "the key has the length of a key")]
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key of 32 bytes")))
    }

    /// Seals a value for a purpose; nobody can use it for another.
    pub fn close<T: Serialize>(&self, purpose: &str, value: &T) -> String {
        let nonce: [u8; 12] = random();
        #[allow(clippy::expect_used, reason = "the values are small structs of texts and numbers")]
        let mut bytes = serde_json::to_vec(value).expect("it can be written as JSON");
        let (aad, used) = (Aad::from(purpose.as_bytes()), Nonce::assume_unique_for_key(nonce));
        #[allow(clippy::expect_used, reason = "fails for 64 GiB and more only")]
        self.0.seal_in_place_append_tag(used, aad, &mut bytes).expect("it can be sealed");
        base64url(&[&nonce[..], &bytes].concat())
    }

    /// What was sealed with this key for this purpose.
    pub fn open<T: DeserializeOwned>(&self, purpose: &str, text: &str) -> Option<T> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<12>()?;
        let mut sealed = sealed.to_vec();
        let (aad, nonce) = (Aad::from(purpose.as_bytes()), Nonce::assume_unique_for_key(*nonce));
        let open = self.0.open_in_place(nonce, aad, &mut sealed).ok()?;
        serde_json::from_slice(open).ok()
    }
}

/// Bytes nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[allow(clippy::expect_used, reason = "without randomness nothing here would be safe")]
    rand::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_purpose_open_it() {
        let secret = Secret::from("0123456789abcdef0123456789abcdef");
        let (seal, again) = (Seal::new(Some(&secret)), Seal::new(Some(&secret)));
        let sealed = seal.close("session", &"alice");
        assert_eq!(again.open::<String>("session", &sealed).as_deref(), Some("alice"));
        assert_eq!(again.open::<String>("login", &sealed), None);
        assert_eq!(Seal::new(None).open::<String>("session", &sealed), None);
        assert_ne!(sealed, seal.close("session", &"alice"), "each time with another nonce");
    }

    #[test]
    fn a_changed_byte_closes_it_for_good() {
        let seal = Seal::new(None);
        let sealed = seal.close("session", &"alice");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(seal.open::<String>("session", &changed), None, "byte {at}");
        }
        for odd in ["", "A", "not base64!", &"A".repeat(5_000)] {
            assert_eq!(seal.open::<String>("session", odd), None);
        }
    }
}
