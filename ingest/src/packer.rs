//! The open message of one partition: fragments of many requests laid end to end. Pure; `now` is a parameter.

use std::time::{Duration, Instant};

/// When a message is full or old enough.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// Largest message.
    pub bytes: usize,
    /// Longest wait for more spans while other messages are on their way.
    pub wait: Duration,
}

/// A message and what waits for its delivery.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<T> {
    /// Of which `TracesData` each: end to end they are one too.
    pub fragments: Vec<Vec<u8>>,
    /// All of them together.
    pub length: usize,
    /// One a fragment.
    pub tickets: Vec<T>,
}

impl<T> Message<T> {
    fn empty() -> Self {
        Self { fragments: Vec::new(), length: 0, tickets: Vec::new() }
    }

    /// The message's bytes, and what waits for its delivery.
    pub fn into_parts(mut self) -> (Vec<u8>, Vec<T>) {
        let bytes =
            if self.fragments.len() == 1 { self.fragments.remove(0) } else { self.fragments.concat() };
        (bytes, self.tickets)
    }
}

/// Packs the fragments of one partition.
#[derive(Debug)]
pub struct Packer<T> {
    packing: Packing,
    open: Message<T>,
    due: Option<Instant>,
}

impl<T> Packer<T> {
    /// An empty message.
    pub fn new(packing: Packing) -> Self {
        Self { packing, open: Message::empty(), due: None }
    }

    /// Adds a fragment. Where it doesn't fit, the message so far comes back to be sent.
    pub fn push(&mut self, fragment: Vec<u8>, ticket: T, now: Instant) -> Option<Message<T>> {
        let overflow = self.open.length + fragment.len() > self.packing.bytes;
        let full = if overflow { self.take() } else { None };
        if self.open.tickets.is_empty() {
            self.due = Some(now + self.packing.wait);
        }
        self.open.length += fragment.len();
        self.open.fragments.push(fragment);
        self.open.tickets.push(ticket);
        full
    }

    /// When the message must go at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The message, if it should go now: with nothing on the way waiting would only delay it, and while messages
    /// are on the way it may grow until it is due. So batches grow with the load, and an idle system adds no wait.
    pub fn take_if_ready(&mut self, now: Instant, on_the_way: usize) -> Option<Message<T>> {
        let ready = on_the_way == 0 || self.due.is_some_and(|due| due <= now);
        if ready { self.take() } else { None }
    }

    /// The message, unless it is empty.
    pub fn take(&mut self) -> Option<Message<T>> {
        self.due = None;
        let message = std::mem::replace(&mut self.open, Message::empty());
        (!message.tickets.is_empty()).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packer() -> (Packer<u32>, Instant) {
        (Packer::new(Packing { bytes: 10, wait: Duration::from_millis(50) }), Instant::now())
    }

    fn message(bytes: &[u8], tickets: &[u32]) -> Option<(Vec<u8>, Vec<u32>)> {
        Some((bytes.to_vec(), tickets.to_vec()))
    }

    #[test]
    fn with_nothing_on_the_way_a_fragment_goes_at_once() {
        let (mut packer, now) = packer();
        assert_eq!(packer.push(vec![1, 2], 7, now), None);
        assert_eq!(packer.take_if_ready(now, 0).map(Message::into_parts), message(&[1, 2], &[7]));
        assert_eq!((packer.take_if_ready(now, 0), packer.due()), (None, None));
    }

    #[test]
    fn while_a_message_is_on_the_way_fragments_gather_until_due() {
        let (mut packer, now) = packer();
        packer.push(vec![1], 1, now);
        packer.push(vec![2], 2, now + Duration::from_millis(49));
        assert_eq!(packer.take_if_ready(now + Duration::from_millis(49), 1), None);
        assert_eq!(packer.due(), Some(now + Duration::from_millis(50)));
        let due = packer.take_if_ready(now + Duration::from_millis(50), 1);
        assert_eq!(due.map(Message::into_parts), message(&[1, 2], &[1, 2]));
    }

    #[test]
    fn a_fragment_that_does_not_fit_sends_what_was_there() {
        let (mut packer, now) = packer();
        packer.push(vec![1; 6], 1, now);
        assert_eq!(packer.push(vec![2; 4], 2, now), None, "ten bytes fit");
        let full = packer.push(vec![3; 1], 3, now);
        assert_eq!(full.map(Message::into_parts), message(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 2], &[1, 2]));
        assert_eq!(packer.take().map(Message::into_parts), message(&[3], &[3]));
    }
}
