//! Messages without what differs from one error to the next.

/// Longest message looked at; the rest says little about its kind.
const LONGEST: usize = 500;
/// Hexadecimal words this long are ids: shorter ones may be words such as `add` or `face`.
const LEAST_HEX: usize = 8;

/// A message with `<number>`, `<id>`, `<uuid>`, `<address>` and `<text>` in place of numbers, hexadecimal ids, UUIDs,
/// addresses of hosts and quoted texts. Takes time in proportion to its length: every character is looked at twice at
/// most.
pub fn normalised(message: &str) -> String {
    let end = message.char_indices().nth(LONGEST).map_or(message.len(), |(at, _)| at);
    let mut rest = &message[..end];
    let mut text = String::with_capacity(rest.len());
    // A quote that nothing closes is searched for once, not once for each that opens.
    let mut unclosed: Vec<char> = Vec::new();
    while let Some(first) = rest.chars().next() {
        if let Some(after) = quoted(rest, first, &text, &mut unclosed) {
            text.push_str("<text>");
            rest = after;
            continue;
        }
        let length = rest.find(|sign: char| !in_word(sign)).unwrap_or(rest.len());
        if length == 0 {
            text.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        push_word(&mut text, word);
        rest = after;
    }
    text
}

/// What follows a quoted text that begins here. An apostrophe inside a word is none.
fn quoted<'a>(rest: &'a str, first: char, before: &str, unclosed: &mut Vec<char>) -> Option<&'a str> {
    let in_a_word = first == '\'' && before.chars().next_back().is_some_and(char::is_alphanumeric);
    if !matches!(first, '"' | '\'' | '`') || in_a_word || unclosed.contains(&first) {
        return None;
    }
    let inside = &rest[1..];
    match inside.find(first) {
        Some(end) => Some(&inside[end + 1..]),
        None => {
            unclosed.push(first);
            None
        }
    }
}

/// What ids, numbers and addresses consist of.
fn in_word(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '-' | '.' | ':' | '_')
}

/// Punctuation at the end of a word isn't part of it.
fn push_word(text: &mut String, word: &str) {
    let core = word.trim_end_matches(['.', ':', '-']);
    match placeholder(core) {
        Some(placeholder) => text.push_str(placeholder),
        None => push_parts(text, core),
    }
    text.push_str(&word[core.len()..]);
}

fn placeholder(word: &str) -> Option<&'static str> {
    if is_uuid(word) {
        Some("<uuid>")
    } else if is_address(word) {
        Some("<address>")
    } else {
        None
    }
}

/// The parts between points, colons and lines: `vm-17` is `vm-<number>`, `took.12ms` is `took.<number>ms`.
fn push_parts(text: &mut String, word: &str) {
    for part in word.split_inclusive(['-', '.', ':', '_']) {
        let core = part.trim_end_matches(['-', '.', ':', '_']);
        push_part(text, core);
        text.push_str(&part[core.len()..]);
    }
}

fn push_part(text: &mut String, part: &str) {
    let digits = part.strip_prefix("0x").unwrap_or(part);
    let is_hex = digits.len() >= LEAST_HEX && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_digit = digits.bytes().any(|byte| byte.is_ascii_digit());
    if is_hex && has_digit && !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        text.push_str("<id>");
        return;
    }
    let mut in_number = false;
    for sign in part.chars() {
        let is_digit = sign.is_ascii_digit();
        match (is_digit, in_number) {
            (true, false) => text.push_str("<number>"),
            (true, true) => {}
            (false, _) => text.push(sign),
        }
        in_number = is_digit;
    }
}

fn is_uuid(word: &str) -> bool {
    let lengths = word.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// An IPv4 or IPv6 address, with or without a port, or a name with a port.
fn is_address(word: &str) -> bool {
    if word.parse::<std::net::IpAddr>().is_ok() && word.len() > "::1".len() {
        return true;
    }
    let Some((host, port)) = word.rsplit_once(':') else { return false };
    let is_port = (2..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let has_letter = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_name = host.contains('.') && has_letter && !host.contains(':');
    is_port && (is_name || host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_error_to_error_is_left_out() {
        for (message, wanted) in [
            ("", ""),
            ("request timed out", "request timed out"),
            ("took 1200ms of 1000 ms", "took <number>ms of <number> ms"),
            ("user 12, vm-17: gone.", "user <number>, vm-<number>: gone."),
            ("trace 0af7651916cd43dd8448eb211c80319c", "trace <id>"),
            ("at 0x7ffee4b2c8d0", "at <id>"),
            ("order 123e4567-e89b-12d3-a456-426614174000 failed", "order <uuid> failed"),
            ("connect to 10.0.3.17:5432: refused", "connect to <address>: refused"),
            ("dial tcp [fe80::1ff:fe23:4567:890a]:80", "dial tcp [<address>]:<number>"),
            ("no route to db-1.shop.svc:5432", "no route to <address>"),
            ("key \"a 'b' c\" isn't in 'x y'", "key <text> isn't in <text>"),
            ("it's the user's fault", "it's the user's fault"),
            ("unclosed \"quote 5", "unclosed \"quote <number>"),
            ("added a facade", "added a facade"),
            ("Größe 5€", "Größe <number>€"),
            ("java.net.SocketTimeoutException: connect", "java.net.SocketTimeoutException: connect"),
        ] {
            assert_eq!(normalised(message), wanted, "{message}");
        }
    }

    #[test]
    fn what_is_normal_stays_as_it_is() {
        for message in ["user <number> of <address>", "<text> and <uuid>"] {
            assert_eq!(normalised(&normalised(message)), message);
        }
    }

    #[test]
    fn hostile_messages_are_cut_and_never_end_it() {
        for hostile in ["\"", "'", "a:", "0-", "é", "::", "\u{0}", "1.", "😀\"'"] {
            let message = normalised(&hostile.repeat(100_000));
            assert!(message.len() < 10 * LONGEST, "{hostile:?}: {}", message.len());
        }
    }
}
