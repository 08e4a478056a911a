//! A request as the server gets it.

use firn_protocol::v2::Invoke;

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Its header says how long it is.
    Length,
    Chunked,
}

/// Fields of one connection, which end here, and those that are written anew.
const OWN_FIELDS: [&str; 8] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// The head of an invocation's request, and how its body follows.
pub fn head_of(invoke: &Invoke, port: u16) -> (Vec<u8>, Framing) {
    let method = if is_token(&invoke.method) { invoke.method.as_str() } else { "GET" };
    let rest = invoke.url.split_once("://").map_or(invoke.url.as_str(), |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let start = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(start);
    let slash = if target.starts_with('/') { "" } else { "/" };
    let target: String =
        target.chars().filter(|character| !character.is_control() && *character != ' ').collect();
    let named = |name: &str| {
        invoke
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.as_str())
    };
    let own_host = format!("127.0.0.1:{port}");
    let host = named("host").unwrap_or(if host.is_empty() { &own_host } else { host });
    let mut head = format!("{method} {slash}{target} HTTP/1.1\r\n");
    push_field(&mut head, "host", host);
    push_field(&mut head, "connection", "close");
    for header in &invoke.headers {
        if !OWN_FIELDS.iter().any(|own| header.name.eq_ignore_ascii_case(own)) {
            push_field(&mut head, &header.name, &header.value);
        }
    }
    let said = named("content-length")
        .filter(|text| !text.is_empty() && text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let framing = match (invoke.more, said) {
        (false, said) => {
            if !invoke.payload.is_empty() || said.is_some() {
                push_field(&mut head, "content-length", &invoke.payload.len().to_string());
            }
            Framing::Length
        }
        (true, Some(length)) => {
            push_field(&mut head, "content-length", length);
            Framing::Length
        }
        (true, None) => {
            push_field(&mut head, "transfer-encoding", "chunked");
            Framing::Chunked
        }
    };
    head.push_str("\r\n");
    (head.into_bytes(), framing)
}

/// Fields that HTTP cannot carry are left out: they would be others.
fn push_field(head: &mut String, name: &str, value: &str) {
    if is_token(name) && !value.chars().any(|character| matches!(character, '\r' | '\n' | '\0')) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use firn_protocol::v2::Header;

    use super::*;

    fn head(invoke: Invoke) -> (String, Framing) {
        let (head, framing) = head_of(&invoke, 8080);
        (String::from_utf8(head).unwrap(), framing)
    }

    fn header(name: &str, value: &str) -> Header {
        Header { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_head_has_the_callers_fields_and_none_of_its_connection() {
        let invoke = Invoke {
            method: "PUT".into(),
            url: "http://me.example/a%20b?c#d".into(),
            headers: vec![
                header("X-A", "1"),
                header("Connection", "keep-alive"),
                header("Content-Length", "99"),
                header("evil", "a\r\nb: c"),
                header("e vil", "a"),
            ],
            payload: b"body".to_vec(),
            ..Invoke::default()
        };
        let expected = "PUT /a%20b?c HTTP/1.1\r\nhost: me.example\r\nconnection: close\r\nX-A: 1\r\ncontent-length: 4\r\n\r\n";
        assert_eq!(head(invoke), (expected.into(), Framing::Length));
    }

    #[test]
    fn a_body_without_a_length_is_chunked_and_no_body_has_none() {
        let (text, framing) = head(Invoke { more: true, method: "POST".into(), ..Invoke::default() });
        assert!(text.starts_with("POST / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{text}");
        assert!(text.contains("transfer-encoding: chunked") && framing == Framing::Chunked);
        let (text, _) =
            head(Invoke { url: "http://a?b".into(), method: "b\r\nad".into(), ..Invoke::default() });
        assert!(text.starts_with("GET /?b HTTP/1.1\r\n") && !text.contains("content-length"), "{text}");
        let known = Invoke { more: true, headers: vec![header("content-length", "7")], ..Invoke::default() };
        assert!(head(known).0.contains("content-length: 7"));
    }
}
