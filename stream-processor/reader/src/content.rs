//! A fixed hash of bytes: equal on every machine and in every release, so that a replay agrees with the run it
//! repeats. Not meant to withstand anyone who looks for collisions: a collision only miscounts `duplicate_conflict`
//! as `duplicate_exact`, or takes two requests for attempts of one.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const SEED: u64 = 0x243f_6a88_85a3_08d3;

/// Hash of `bytes`.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut state = SEED ^ (bytes.len() as u64);
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), MULTIPLIER);
    }
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        state = fold(state ^ u64::from_le_bytes(last), MULTIPLIER);
    }
    fold(state, SEED | 1)
}

/// Hash of a pair.
#[inline]
pub(crate) fn join(left: u64, right: u64) -> u64 {
    fold(left ^ SEED, right ^ MULTIPLIER) ^ left.rotate_left(32) ^ right
}

#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // Computed independently in Python. Changing them changes what a replay computes: a new core version.
        let vectors: [(&[u8], u64); 4] = [
            (b"", 0xf3050e837be325db),
            (b"weir", 0x1033f5d16828835d),
            (b"12345678", 0x408fd574c78b9df8),
            (b"twelve bytes", 0x08a4fa62803d6445),
        ];
        for (bytes, expected) in vectors {
            assert_eq!(hash(bytes), expected, "{bytes:?}");
        }
        assert_eq!(join(1, 2), 0xb44f29dcd79c59d7);
        assert_ne!(hash(b"a"), hash(b"a\0"));
        assert_ne!(hash(b"12345678"), hash(b"12345679"));
        assert_ne!(join(1, 2), join(2, 1));
    }
}
