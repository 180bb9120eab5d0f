//! Frames as a subscriber's socket brings them, piece by piece. Only the beginning of a message is looked at, so that
//! reading them costs less than writing them.

/// Of a frame from a server: two bytes, and up to eight of length.
const MOST_HEADER_BYTES: usize = 10;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;

/// What a socket brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message of so many bytes, and its beginning.
    Message { head: &'a [u8], bytes: usize },
    /// To be answered.
    Ping,
    /// The server says goodbye.
    Close,
}

/// The frame that is being read.
#[derive(Debug)]
pub struct Frames {
    /// What is kept of a message.
    head_bytes: usize,
    header: Vec<u8>,
    head: Vec<u8>,
    /// Of the payload; none while the header is incomplete.
    bytes: Option<usize>,
    left: usize,
}

impl Frames {
    /// Keeps so much of each message.
    pub fn keeping(head_bytes: usize) -> Self {
        Self { head_bytes, header: Vec::new(), head: Vec::new(), bytes: None, left: 0 }
    }

    /// Takes what came and tells what is complete.
    pub fn read(&mut self, mut piece: &[u8], mut tell: impl FnMut(Event<'_>)) {
        while !piece.is_empty() {
            if self.bytes.is_none() {
                self.header.push(piece[0]);
                piece = &piece[1..];
                self.bytes = payload_bytes(&self.header);
                self.left = self.bytes.unwrap_or_default();
            }
            let here = piece.len().min(self.left);
            let kept = here.min(self.head_bytes - self.head.len());
            self.head.extend_from_slice(&piece[..kept]);
            piece = &piece[here..];
            self.left -= here;
            if let Some(bytes) = self.bytes.filter(|_| self.left == 0) {
                match self.header[0] & 0x0f {
                    TEXT => tell(Event::Message { head: &self.head, bytes }),
                    PING => tell(Event::Ping),
                    CLOSE => tell(Event::Close),
                    _ => {}
                }
                self.header.clear();
                self.head.clear();
                self.bytes = None;
            }
        }
    }
}

/// The length of the payload, once the header is complete.
fn payload_bytes(header: &[u8]) -> Option<usize> {
    debug_assert!(header.len() <= MOST_HEADER_BYTES);
    let length = |bytes: &[u8]| bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    match (header.get(1)? & 0x7f, header.len()) {
        (126, 4) | (127, MOST_HEADER_BYTES) => Some(length(&header[2..])),
        (short @ ..126, _) => Some(usize::from(short)),
        _ => None,
    }
}

/// A message to a server, "masked" with zeros, as the protocol asks of clients.
pub fn to_server(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short message").to_be_bytes();
    [&[0x80 | TEXT, 0x80 | 126], &length[..], &[0; 4], text.as_bytes()].concat()
}

/// The answer to a ping without a payload.
pub const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// The whole number behind a name.
pub fn number(head: &[u8], name: &str) -> Option<i64> {
    let at = head.windows(name.len()).position(|window| window == name.as_bytes())? + name.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let mut frame = vec![0x80 | opcode];
        match length {
            ..126 => frame.push(length as u8),
            126..65_536 => frame.extend([&[126][..], &(length as u16).to_be_bytes()].concat()),
            _ => frame.extend([&[127][..], &(length as u64).to_be_bytes()].concat()),
        }
        [frame, payload.to_vec()].concat()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let lengths = [3, 125, 126, 70_000];
        let mut all: Vec<u8> = lengths.iter().flat_map(|length| frame(TEXT, &vec![b'x'; *length])).collect();
        all.extend(frame(PING, b""));
        all.extend(frame(CLOSE, b"\x03\xe9bye"));
        for size in [1, 7, 4_096, all.len()] {
            let (mut frames, mut found) = (Frames::keeping(1_024), Vec::new());
            for piece in all.chunks(size) {
                frames.read(piece, |event| {
                    found.push(match event {
                        Event::Message { head, bytes } => {
                            assert_eq!(head.len(), bytes.min(1_024));
                            bytes
                        }
                        Event::Ping => 1,
                        Event::Close => 2,
                    });
                });
            }
            assert_eq!(found, [3, 125, 126, 70_000, 1, 2], "pieces of {size}");
        }
    }

    #[test]
    fn numbers_are_found_by_their_names() {
        assert_eq!(number(br#"{"asOf":1700,"clock":12}"#, "\"clock\":"), Some(12));
        assert_eq!(number(b"{}", "\"clock\":"), None);
    }
}
