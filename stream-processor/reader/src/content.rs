//! A fixed hash of bytes: equal on every machine and in every release, so that a replay agrees with the run it
//! repeats. Not meant to withstand anyone who looks for collisions: a collision only miscounts `duplicate_conflict`
//! as `duplicate_exact`, or takes two requests for attempts of one.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const SEED: u64 = 0x243f_6a88_85a3_08d3;
/// What a word of each lane is mixed with: digits of pi.
const LANES: [u64; 4] = [0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89, 0x4528_21e6_38d0_1377];

/// Hash of `bytes`.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut state = SEED ^ (bytes.len() as u64);
    let (blocks, rest) = bytes.as_chunks::<64>();
    if !blocks.is_empty() {
        // Four lanes, because each multiplication waits for the one before it in its lane.
        let mut lanes = [state; 4];
        for block in blocks {
            let (pairs, _) = block.as_chunks::<16>();
            for ((lane, pair), key) in lanes.iter_mut().zip(pairs).zip(LANES) {
                *lane = mix(*lane, pair, key);
            }
        }
        state = lanes.into_iter().zip(LANES).fold(0, |sum, (lane, key)| fold(sum ^ lane, key));
    }
    let (pairs, tail) = rest.as_chunks::<16>();
    for pair in pairs {
        state = mix(state, pair, MULTIPLIER);
    }
    if !tail.is_empty() {
        let mut last = [0; 16];
        last[..tail.len()].copy_from_slice(tail);
        state = mix(state, &last, MULTIPLIER);
    }
    fold(state, SEED | 1)
}

/// Takes two words into a lane.
#[inline]
fn mix(lane: u64, pair: &[u8; 16], key: u64) -> u64 {
    let both = u128::from_le_bytes(*pair);
    fold(lane ^ both as u64, key ^ (both >> 64) as u64)
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
        let counted: Vec<u8> = (0..200).collect();
        let vectors: [(&[u8], u64); 8] = [
            (b"", 0xf3050e837be325db),
            (b"weir", 0x1033f5d16828835d),
            (b"12345678", 0x408fd574c78b9df8),
            (b"twelve bytes", 0xf42f43a62ca40271),
            (b"exactly sixteen.", 0x0cead844b359e63d),
            (b"sixteen and some more", 0x95558a03ac3b6457),
            (&counted[..64], 0xc737f5f8fdc4bc4a),
            (&counted, 0x451ff8822623b0f1),
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
