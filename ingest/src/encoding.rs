//! Content encodings of OTLP requests, decompressed under a limit.

use crate::buffer::Buffer;
use crate::pressure::Charge;
use crate::refusal::Refusal;
use bytes::Bytes;
use std::io::Read;

/// RFC 9659: a decoder of `zstd` content must support windows of 8 MiB and should refuse larger ones.
const ZSTD_WINDOW_LOG: u32 = 23;
/// One step of decompression, on the stack.
const STEP_BYTES: usize = 16 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
    /// `deflate`: zlib, and the bare deflate stream that some clients send under that name.
    Deflate,
}

impl Encoding {
    /// What HTTP and gRPC answers name as supported.
    pub const SUPPORTED: &str = "gzip, zstd, deflate";

    /// The encoding a header names.
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// Decompresses `wire` to at most `limit` bytes, charging what it allocates as it goes: a small body may
    /// explode, and is let go as soon as it does.
    ///
    /// # Errors
    /// Damaged data, more than `limit` bytes, or no memory.
    pub fn decompress(self, wire: Bytes, limit: usize, charge: &mut Charge) -> Result<Bytes, Refusal> {
        let slice = &wire[..];
        match self {
            Self::Identity if wire.len() > limit => Err(Refusal::TooLarge { limit }),
            Self::Identity => Ok(wire),
            Self::Gzip => inflate(flate2::read::MultiGzDecoder::new(slice), wire.len(), limit, charge),
            Self::Deflate if is_zlib(slice) => {
                inflate(flate2::read::ZlibDecoder::new(slice), wire.len(), limit, charge)
            }
            Self::Deflate => inflate(flate2::read::DeflateDecoder::new(slice), wire.len(), limit, charge),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(slice).map_err(damaged)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
                inflate(decoder, wire.len(), limit, charge)
            }
        }
    }
}

fn inflate(mut from: impl Read, wire: usize, limit: usize, charge: &mut Charge) -> Result<Bytes, Refusal> {
    // Spans shrink to about a tenth.
    let mut body = Buffer::beside(wire, limit, charge).expecting(10 * wire);
    let mut step = [0; STEP_BYTES];
    loop {
        match from.read(&mut step) {
            Ok(0) => return Ok(body.into_bytes()),
            Ok(length) => body.extend(&step[..length])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(error)),
        }
    }
}

/// RFC 1950, 2.2: method 8 in the low bits, and both header bytes together a multiple of 31.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

fn damaged(error: std::io::Error) -> Refusal {
    Refusal::Undecodable(format!("the compressed body is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::Pressure;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    const LIMIT: usize = 1 << 20;

    fn compressed(encoding: Encoding, body: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => body.to_vec(),
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Zstd => zstd::encode_all(body, 1).unwrap(),
            Encoding::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn decompress(encoding: Encoding, wire: Vec<u8>) -> Result<Bytes, Refusal> {
        let mut charge = Pressure::new(64 << 20).enter().unwrap();
        encoding.decompress(wire.into(), LIMIT, &mut charge)
    }

    #[test]
    fn every_encoding_gives_the_body_back_up_to_the_limit() {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Deflate] {
            for length in [0, 1, 100_000, LIMIT] {
                let body = vec![7; length];
                assert_eq!(
                    decompress(encoding, compressed(encoding, &body)).unwrap(),
                    body,
                    "{encoding:?} {length}"
                );
            }
            let over = decompress(encoding, compressed(encoding, &vec![7; LIMIT + 1]));
            assert_eq!(over, Err(Refusal::TooLarge { limit: LIMIT }), "{encoding:?}");
        }
    }

    #[test]
    fn a_body_that_explodes_is_let_go_at_the_limit() {
        let bomb = compressed(Encoding::Gzip, &vec![0; 64 << 20]);
        let pressure = Pressure::new(64 << 20);
        let mut charge = pressure.enter().unwrap();
        let refused = Encoding::Gzip.decompress(bomb.into(), LIMIT, &mut charge);
        assert_eq!(refused, Err(Refusal::TooLarge { limit: LIMIT }));
        assert!(pressure.used() < 4 * LIMIT, "{}", pressure.used());
    }

    #[test]
    fn a_bare_deflate_stream_is_taken_too() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"spans").unwrap();
        assert_eq!(decompress(Encoding::Deflate, encoder.finish().unwrap()).unwrap(), "spans");
    }

    #[test]
    fn damage_and_huge_windows_are_refused() {
        for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Deflate] {
            let mut wire = compressed(encoding, &[1, 2, 3].repeat(1000));
            wire.truncate(wire.len() / 2);
            assert!(
                matches!(decompress(encoding, wire), Err(Refusal::Undecodable(_))),
                "{encoding:?} truncated"
            );
            assert!(
                matches!(decompress(encoding, vec![0xff; 9]), Err(Refusal::Undecodable(_))),
                "{encoding:?} garbage"
            );
        }
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[0; 100]).unwrap();
        assert!(matches!(
            decompress(Encoding::Zstd, encoder.finish().unwrap()),
            Err(Refusal::Undecodable(_))
        ));
    }

    #[test]
    fn names_are_read_in_any_case() {
        for (name, encoding) in [
            ("GZIP", Some(Encoding::Gzip)),
            (" zstd ", Some(Encoding::Zstd)),
            ("", Some(Encoding::Identity)),
            ("br", None),
            ("gzip, gzip", None),
        ] {
            assert_eq!(Encoding::named(name), encoding, "{name}");
        }
    }
}
