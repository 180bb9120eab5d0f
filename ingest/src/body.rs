//! Reads a request's body, as it is on the wire, under a limit of bytes and of time.

use crate::buffer::Buffer;
use crate::pressure::Charge;
use crate::refusal::Refusal;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::timeout;

/// How much of a refused body is read and thrown away, as a multiple of the limit: who is still sending can't
/// read the answer, and a connection closed in the middle looks like a network fault that is worth a retry.
const DISCARDED_LIMITS: usize = 8;
/// The limit for bodies that nobody looks into.
pub const DISCARDED_UNREAD_BYTES: usize = 4 << 20;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(20);

/// The bounds of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes on the wire.
    pub bytes: usize,
    /// From the first to the last byte.
    pub time: Duration,
}

/// The whole body.
///
/// # Errors
/// Too large, too slow, broken off, or no memory.
pub async fn read(mut body: Body, limits: BodyLimits, charge: &mut Charge) -> Result<Bytes, Refusal> {
    let read = timeout(limits.time, gather(&mut body, limits.bytes, charge)).await;
    let result = read.unwrap_or(Err(Refusal::TooSlow));
    if matches!(result, Err(Refusal::TooLarge { .. } | Refusal::Busy)) {
        discard(body, limits.bytes);
    }
    result
}

async fn gather(body: &mut Body, limit: usize, charge: &mut Charge) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Refusal::TooLarge { limit });
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let mut gathered = Buffer::beside(0, limit, charge).expecting(announced);
    while let Some(data) = next_data(body).await? {
        // What arrives in one piece stays where it is.
        if gathered.is_empty() && body.is_end_stream() && data.len() <= limit {
            gathered.replace_by(&data)?;
            return Ok(data);
        }
        gathered.extend(&data)?;
    }
    Ok(gathered.into_bytes())
}

async fn next_data(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        // Trailers carry nothing for us.
        if let Ok(data) = frame.map_err(|_| Refusal::BrokenOff)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads on in the background, holding nothing, while the answer goes out.
pub fn discard(mut body: Body, limit: usize) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DISCARD_TIME, async move {
        let mut discarded = 0;
        while let Ok(Some(data)) = next_data(&mut body).await {
            discarded += data.len();
            if discarded > limit * DISCARDED_LIMITS {
                break;
            }
        }
    }));
}
